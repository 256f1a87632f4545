// Exact nearest neighbours.
export { nearestNeighbors, type NearestNeighbors } from "../nearestNeighbors.ts";
export { farthestPoints, farthestPointsSteps, type FarthestPoints } from "../farthestPoints.ts";
