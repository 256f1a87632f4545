/** Side of the picture that the head sees. */
export const SIDE = 8;
/** Numbers of a picture: red, green and blue of 8 x 8 areas. */
export const PICTURE_FEATURES: number = SIDE * SIDE * 3;

const WORK = 64;

/** The mean colours of 8 x 8 areas, float32 [192] in [0, 1], row by row. Pictures are stretched to a square. */
export function pictureFeatures(source: CanvasImageSource): Float32Array {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = WORK;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, WORK, WORK);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, WORK, WORK);
  const { data } = context.getImageData(0, 0, WORK, WORK), out = new Float32Array(PICTURE_FEATURES), area = WORK / SIDE;
  for (let y = 0; y < WORK; y++) {
    for (let x = 0; x < WORK; x++) {
      const to = (Math.floor(y / area) * SIDE + Math.floor(x / area)) * 3, from = (y * WORK + x) * 4;
      for (let c = 0; c < 3; c++) out[to + c] += data[from + c] / (255 * area * area);
    }
  }
  return out;
}

/** Reads a picture file; an error names it. */
export async function readPicture(file: Blob & { readonly name?: string }): Promise<Float32Array> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch (cause) {
    throw new Error(`${file.name ?? "The file"} is no picture that this browser can read.`, { cause });
  }
  const features = pictureFeatures(bitmap);
  bitmap.close();
  return features;
}

/** Kinds of pictures that the page draws itself. The last is no class of the example. */
export const DRAWN = ["sunset", "forest", "sea", "checkerboard"] as const;

/** A made-up picture; `uniform` gives numbers in [0, 1). */
export function drawPicture(kind: (typeof DRAWN)[number], uniform: () => number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = WORK;
  const context = canvas.getContext("2d")!, between = (low: number, high: number): number => low + (high - low) * uniform();
  const fill = (colours: readonly string[]): void => {
    const gradient = context.createLinearGradient(0, 0, between(-12, 12), WORK);
    colours.forEach((colour, i) => gradient.addColorStop(i / (colours.length - 1), colour));
    context.fillStyle = gradient;
    context.fillRect(0, 0, WORK, WORK);
  };
  const disc = (x: number, y: number, radius: number, colour: string): void => {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  };
  const hue = (low: number, high: number, saturation: number, light: number): string => `hsl(${between(low, high)} ${saturation + between(-15, 15)}% ${light + between(-10, 10)}%)`;
  if (kind === "sunset") {
    fill([hue(220, 280, 40, 35), hue(10, 40, 80, 55), hue(20, 45, 85, 60), hue(350, 380, 40, 22)]);
    disc(between(12, 52), between(26, 44), between(5, 9), hue(40, 55, 90, 72));
  } else if (kind === "forest") {
    fill([hue(90, 200, 30, 60), hue(90, 140, 40, 32), hue(80, 130, 40, 22)]);
    for (let i = 0; i < 26; i++) disc(between(0, WORK), between(18, WORK), between(4, 10), hue(85, 145, 45, 28));
  } else if (kind === "sea") {
    fill([hue(195, 220, 45, 74), hue(195, 215, 40, 66), hue(195, 220, 60, 42), hue(200, 225, 65, 30)]);
    context.fillStyle = hue(40, 50, 40, 76);
    context.fillRect(0, between(54, 62), WORK, WORK);
  } else {
    const step = Math.round(between(8, 17)), [a, b] = [hue(0, 360, 60, 50), hue(0, 360, 20, 85)];
    for (let y = 0; y < WORK; y += step) {
      for (let x = 0; x < WORK; x += step) {
        context.fillStyle = (x / step + y / step) % 2 < 1 ? a : b;
        context.fillRect(x, y, step, step);
      }
    }
  }
  return canvas;
}
