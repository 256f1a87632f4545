/** A data set that the page carries. */
export interface EmbeddedSet {
  readonly key: EmbeddedKey;
  readonly title: string;
  readonly about: string;
}

export type EmbeddedKey = "densenet" | "vgg" | "clinc";

/** What is known of the data set in use. */
export interface SetInfo {
  readonly key: string;
  readonly title: string;
  readonly about: string;
  readonly rows: number;
  readonly classes: number;
  readonly outliers: number;
  /** The scores are log-probabilities, whose energy is 0 whatever they are. */
  readonly normalised: boolean;
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
  {
    key: "clinc", title: "Sentences: intents of CLINC150, with real outliers",
    about: "4,500 test sentences of 150 intents and 1,000 that belong to none, scores of the linear classifier of the panel Intents. Sentences: S. Larson and others, 2019 (CC BY 3.0).",
  },
];
