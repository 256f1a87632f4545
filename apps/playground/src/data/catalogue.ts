/** A data set that the page carries. */
export interface EmbeddedSet {
  readonly key: EmbeddedKey;
  readonly title: string;
  readonly about: string;
}

export type EmbeddedKey = "densenet" | "vgg";

/** What is known of the data set in use. */
export interface SetInfo {
  readonly key: string;
  readonly title: string;
  readonly about: string;
  readonly rows: number;
  readonly classes: number;
  readonly outliers: number;
  /** Class names, if there are some. */
  readonly names: readonly string[];
  /** How the file was read, for people. */
  readonly notes: readonly string[];
}

export const EMBEDDED: readonly EmbeddedSet[] = [
  {
    key: "densenet", title: "Pictures: DenseNet on CIFAR-100",
    about: "10,000 test pictures of 100 classes, scores of a DenseNet-BC-100. Outputs: F. Kueppers and others, 2020 (Apache-2.0).",
  },
  {
    key: "vgg", title: "Pictures: VGG-16 on CIFAR-10",
    about: "10,000 test pictures of 10 classes, scores of a VGG-16. Outputs: A. Kumar, P. Liang, T. Ma, 2019 (MIT).",
  },
];
