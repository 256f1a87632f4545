import { Tensor, asFloat32, describe, rangeError, typeError, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";

/** A tensor of TensorFlow.js, as far as a loss needs it. */
export interface TrainableTensor {
  readonly shape: readonly number[];
  readonly dtype: string;
  dataSync(): unknown;
  mul(other: any): any;
}

/** The part of `@tensorflow/tfjs` (or tfjs-core) that defines gradients. */
export interface TensorFlowCore<T> {
  customGrad(f: any): any;
  tensor(data: any, shape?: any, dtype?: any): T;
  getBackend(): string;
}

/** Any loss of the house; its options are checked where it is called. */
type AnyLoss<Options extends LossOptions> = Loss<readonly any[], Options, object>;

/** A target of a loss: a tensor of TensorFlow.js or anything that a loss takes. */
type Target<T> = T | TensorLike;

/**
 * A loss as a function of TensorFlow.js tensors with its own gradient: what `tf.variableGrads`, `optimizer.minimize` and `model.compile({ loss })` differentiate through.
 *
 * Value and gradient are computed by the loss in one pass, outside TensorFlow.js; its autodiff goes on from the gradient of the predictions. Predictions are read with `dataSync`: backends "cpu", "wasm", "tensorflow" and
 * (with a wait for the GPU) "webgl" can, "webgpu" cannot. No gradient flows to targets.
 *
 * @param tf - `@tensorflow/tfjs` or tfjs-core
 * @param loss - any loss: `focalLoss`, `supConLoss`, `crfLoss`, ...
 * @param options - the options of the loss, weights and masks as tensors of TensorFlow.js or as the loss takes them, read once; `gradients`: names of the gradients in the order of the first arguments, for losses with `grads` (`["hidden", "weights"]` for `linearCrossEntropy`)
 * @returns `(predictions, ...targets) => tensor`: scalar ("mean", "sum") or of the values' shape ("none"); arguments are tensors of TensorFlow.js, targets also anything that the loss takes. `model.compile` has them the other way round and
 *   wants targets of the outputs' shape: `loss: (y, logits) => focal(logits, y.argMax(-1))`
 * @throws TypeError where tf has no `customGrad` or the loss no `withGrad`; RangeError for a backend that cannot be read synchronously, a name that is no gradient, and whatever the loss refuses
 * @example
 *   const focal = tensorflowLoss(tf, focalLoss, { gamma: 2 });
 *   optimizer.minimize(() => focal(model.apply(x), labels));
 * Source: `tf.customGrad` of @tensorflow/tfjs-core 4.22.
 */
export function tensorflowLoss<T extends TrainableTensor, Options extends LossOptions>(tf: TensorFlowCore<T>, loss: AnyLoss<Options>, options: NoInfer<Options> & { readonly gradients?: readonly string[] } = {} as Options): (predictions: T, ...targets: Target<T>[]) => T {
  const where = "tensorflowLoss";
  if (typeof tf?.customGrad !== "function") throw typeError(where, "tf", "TensorFlow.js with customGrad", describe(tf));
  if (typeof loss?.withGrad !== "function") throw typeError(where, "loss", "a loss with withGrad", describe(loss));
  const read = (argument: unknown): unknown => (isTensorFlowTensor(argument) ? new Tensor(DTYPES[argument.dtype] ?? "float32", argument.shape, dataOf(tf.getBackend(), argument)) : argument);
  // Weights and masks may be tensors too.
  const { gradients: names, ...given } = options, own = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, read(value)])) as LossOptions, { reduction = "mean" } = own, count = names?.length ?? 1;
  return (...args: unknown[]): T => {
    const differentiable = args.slice(0, count) as T[], rest = args.slice(count).map(read);
    const run = (inputs: readonly unknown[], upstream?: TensorLike): { loss: Tensor<"float32">; grads: readonly Tensor<"float32">[] } => {
      const result = loss.withGrad(...([...inputs, ...rest, { ...own, ...(upstream !== undefined && { upstream }) }] as Parameters<typeof loss.withGrad>)) as { loss: Tensor<"float32">; grad?: Tensor<"float32">; grads?: Record<string, Tensor<"float32">> };
      return { loss: result.loss, grads: names === undefined ? [single(result.grad)] : names.map((name) => named(result.grads, name)) };
    };
    const made = ({ data, shape }: Tensor<"float32">): T => tf.tensor(data, [...shape], "float32");
    const differentiated = tf.customGrad((...inputs: T[]) => {
      const plain = inputs.slice(0, count).map(read);
      // A scalar's upstream only scales the gradient; values that are not reduced need theirs.
      if (reduction === "none") {
        const value = loss(...([...plain, ...rest, own] as Parameters<typeof loss>));
        return { value: made(value), gradFunc: (dy: T) => listed(run(plain, asFloat32(where, "upstream", read(dy) as TensorLike)).grads.map(made)) };
      }
      const { loss: value, grads } = run(plain);
      // Presets may hand out values of rows without being asked.
      const scalar = value.shape.length === 0;
      return { value: made(value), gradFunc: (dy: T) => listed(scalar ? grads.map((grad) => made(grad).mul(dy) as T) : run(plain, asFloat32(where, "upstream", read(dy) as TensorLike)).grads.map(made)) };
    }) as (...args: T[]) => T;
    return differentiated(...differentiable);
  };

  function single(grad: Tensor<"float32"> | undefined): Tensor<"float32"> {
    if (grad === undefined) throw rangeError(where, "options.gradients", "the names of the gradients of the first arguments, as this loss has several", "none");
    return grad;
  }

  function named(grads: Record<string, Tensor<"float32">> | undefined, name: string): Tensor<"float32"> {
    const grad = grads?.[name];
    if (grad === undefined) throw rangeError(where, "options.gradients", `names among ${JSON.stringify(Object.keys(grads ?? {}))}`, JSON.stringify(name));
    return grad;
  }
}

const DTYPES: Readonly<Record<string, "float32" | "int32" | "uint8">> = { int32: "int32", bool: "uint8" };

/** TensorFlow.js takes a lone gradient as it is. */
function listed<T>(grads: T[]): T | T[] {
  return grads.length === 1 ? grads[0] : grads;
}

function isTensorFlowTensor(x: unknown): x is TrainableTensor {
  return typeof (x as TrainableTensor)?.dataSync === "function" && Array.isArray((x as TrainableTensor).shape);
}

function dataOf(backend: string, x: TrainableTensor): Float32Array | Int32Array | Uint8Array {
  if (backend === "webgpu") throw rangeError("tensorflowLoss", "predictions", "on a backend that can be read synchronously (cpu, wasm, webgl, tensorflow)", "webgpu", 'await tf.setBackend("wasm")');
  const data = x.dataSync();
  return x.dtype in DTYPES || data instanceof Float32Array ? (data as Float32Array | Int32Array | Uint8Array) : Float32Array.from(data as ArrayLike<number>);
}
