// What a temperature fit needs.
export { temperatureMoments, type TemperatureMoments, type TemperatureMomentsOptions } from "../temperatureMoments.ts";
