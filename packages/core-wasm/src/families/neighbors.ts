// Exact nearest neighbours.
export { nearestNeighbors, type NearestNeighbors } from "../nearestNeighbors.ts";
