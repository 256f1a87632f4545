import * as jax from "@jax-js/jax";
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import { jaxLoss } from "@logits/interop/jax";
import { tensorflowLoss } from "@logits/interop/tensorflow";
import { crossEntropy } from "@logits/losses/classification";
import { softmaxCrossEntropyWithIntegerLabels } from "@logits/losses/presets/optax";
import { Tensor, asFloat32, defineLoss, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { expectClose } from "@logits/testkit";
import { beforeAll, describe, expect, it } from "vitest";

/** Three clusters in the plane: learnt in a few steps. */
const x = Array.from({ length: 60 }, (_, i) => [Math.cos(i % 3 * 2) * 2 + Math.sin(7 * i), Math.sin(i % 3 * 2) * 2 + Math.cos(5 * i)]);
const labels = Int32Array.from({ length: 60 }, (_, i) => i % 3);

/** A loss with two gradients: x . y of each row. */
const products: Loss<[x: TensorLike, y: TensorLike], LossOptions, { readonly grads: { readonly x: Tensor<"float32">; readonly y: Tensor<"float32"> } }> = defineLoss("products", 2, (where, [a, b]) => {
  const p = asFloat32(where, "x", a), q = asFloat32(where, "y", b);
  const scaled = ({ data, shape }: Tensor<"float32">, c: Float64Array): Tensor<"float32"> => new Tensor("float32", shape, data.map((v, i) => v * c[i]));
  return { shape: p.shape, pass: (c) => ({ values: p.data.map((v, i) => v * q.data[i]), gradients: () => ({ grads: { x: scaled(q, c!), y: scaled(p, c!) } }) }) };
});

describe.each(["cpu", "wasm"])("tensorflowLoss on %s", (backend) => {
  beforeAll(async () => {
    expect(await tf.setBackend(backend)).toBe(true);
    await tf.ready();
  });

  it("has the value and the gradient of TensorFlow.js where that is right", () => {
    tf.tidy(() => {
      const z = tf.tensor2d(x), onehot = tf.oneHot(tf.tensor1d(labels, "int32"), 3).slice([0, 0], [60, 2]), wide = tf.concat([z, tf.zeros([60, 1])], 1) as tf.Tensor2D;
      expect(onehot.shape).toEqual([60, 2]);
      const ours = tf.valueAndGrad((logits) => tensorflowLoss(tf, crossEntropy)(logits, labels) as tf.Scalar)(wide);
      const theirs = tf.valueAndGrad((logits) => tf.logSoftmax(logits as tf.Tensor2D).mul(tf.oneHot(tf.tensor1d(labels, "int32"), 3)).sum().div(-60) as tf.Scalar)(wide);
      expectClose(ours.value.dataSync()[0], theirs.value.dataSync()[0], { rtol: 1e-6 });
      expectClose(ours.grad.dataSync() as Float32Array, theirs.grad.dataSync() as Float32Array, { atol: 1e-7 });
    });
  });

  it("trains a layers model by minimize and by compile", async () => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 3, inputShape: [2], kernelInitializer: "zeros" })] });
    const loss = tensorflowLoss(tf, crossEntropy), optimizer = tf.train.sgd(0.5), inputs = tf.tensor2d(x), before = tf.memory().numTensors;
    const losses = Array.from({ length: 30 }, () => {
      const value = optimizer.minimize(() => loss(model.apply(inputs) as tf.Tensor, labels) as tf.Scalar, true)!;
      const [number] = value.dataSync();
      value.dispose();
      return number;
    });
    expect(losses[0]).toBeCloseTo(Math.log(3), 5);
    expect(losses[29]).toBeLessThan(0.25);
    expect(tf.memory().numTensors).toBe(before);
    // `fit` wants targets of the outputs' shape.
    model.compile({ optimizer: "sgd", loss: (y: tf.Tensor, z: tf.Tensor) => loss(z, y.argMax(-1)) });
    const { history } = await model.fit(inputs, tf.oneHot(tf.tensor1d(labels, "int32"), 3), { epochs: 2, batchSize: 20, verbose: 0 });
    expect(history.loss[1] as number).toBeLessThan(losses[29]);
  });

  it("reads weights, masks and labels that are tensors", () => {
    tf.tidy(() => {
      const z = tf.tensor2d([[1, 2], [3, 4], [0, 5]]), each = { reduction: "none" } as const, plain = crossEntropy([[1, 2], [3, 4], [0, 5]], [0, 1, 1], each).data;
      const [weight, where, y] = [tf.tensor1d([2, 1, 3]), tf.tensor1d([true, false, true], "bool"), tf.tensor1d([0, 1, 1], "int32")];
      expectClose(tensorflowLoss(tf, crossEntropy, { ...each, weight, where })(z, y).dataSync() as Float32Array, [2 * plain[0], 0, 3 * plain[2]], { rtol: 1e-6 });
      expect(() => tensorflowLoss(tf, crossEntropy)(z, y.toFloat())).toThrow("expected `labels` of integers (int32), got Float32Array");
    });
  });

  it("hands on the upstream of values that are not reduced, and several gradients", () => {
    tf.tidy(() => {
      const a = tf.tensor1d([1, 2, 3]), b = tf.tensor1d([4, 5, 6]);
      const each = tensorflowLoss(tf, products, { reduction: "none", gradients: ["x", "y"] });
      const [da, db] = tf.grads((p, q) => each(p, q).mul(tf.tensor1d([1, 10, 100])).sum() as tf.Scalar)([a, b]);
      expect([...da.dataSync()]).toEqual([4, 50, 600]);
      expect([...db.dataSync()]).toEqual([1, 20, 300]);
      const [ma] = tf.grads((p, q) => tensorflowLoss(tf, products, { gradients: ["x", "y"] })(p, q).mul(3) as tf.Scalar)([a, b]);
      expectClose(ma.dataSync() as Float32Array, [4, 5, 6], { rtol: 1e-6 });
    });
  });
});

it("a preset that never reduces gets the upstream of each row", () => {
  tf.tidy(() => {
    // As many rows as classes: an upstream of rows would pass for one of columns.
    const z = tf.tensor2d([[2, 0.5], [0, 1]]), upstream = tf.tensor1d([1, 3]), loss = tensorflowLoss(tf, softmaxCrossEntropyWithIntegerLabels), grad = tf.grad((scores) => loss(scores, [1, 0]).mul(upstream).sum())(z);
    expectClose(grad.dataSync() as Float32Array, crossEntropy.withGrad([[2, 0.5], [0, 1]], [1, 0], { reduction: "none", upstream: [1, 3] }).grad.data, { rtol: 1e-6 });
  });
});

it("tensorflowLoss has these messages", () => {
  const [a, b] = [tf.tensor1d([1]), tf.tensor1d([2])];
  expect(() => tensorflowLoss({} as typeof tf, crossEntropy)).toThrowErrorMatchingInlineSnapshot(`[TypeError: tensorflowLoss: expected \`tf\` TensorFlow.js with customGrad, got Object]`);
  expect(() => tensorflowLoss(tf, (() => 0) as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: tensorflowLoss: expected \`loss\` a loss with withGrad, got Function]`);
  expect(() => tensorflowLoss(tf, products)(a, b)).toThrowErrorMatchingInlineSnapshot(`[RangeError: tensorflowLoss: expected \`options.gradients\` the names of the gradients of the first arguments, as this loss has several, got none]`);
  expect(() => tensorflowLoss(tf, products, { gradients: ["x", "z"] })(a, b)).toThrowErrorMatchingInlineSnapshot(`[RangeError: tensorflowLoss: expected \`options.gradients\` names among ["x","y"], got "z"]`);
  expect(() => tensorflowLoss(tf, crossEntropy)(tf.tensor2d([[0, 1]]), [2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: crossEntropy.withGrad: expected \`labels\` in [0, 2), got 2 at index 0]`);
  expect(() => tensorflowLoss({ ...tf, getBackend: () => "webgpu" } as typeof tf, crossEntropy)(tf.tensor2d([[0, 1]]), [1])).toThrowErrorMatchingInlineSnapshot(`[RangeError: tensorflowLoss: expected \`predictions\` on a backend that can be read synchronously (cpu, wasm, webgl, tensorflow), got webgpu. await tf.setBackend("wasm")]`);
  expect(() => jaxLoss({} as typeof jax, crossEntropy)).toThrowErrorMatchingInlineSnapshot(`[TypeError: jaxLoss: expected \`jax\` @jax-js/jax with vjp and numpy, got Object]`);
  expect(() => jaxLoss(jax, (() => 0) as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: jaxLoss: expected \`loss\` a loss with withGrad, got Function]`);
});

describe("jaxLoss", () => {
  const { numpy, nn } = jax;

  beforeAll(async () => {
    await jax.init("wasm");
    jax.defaultDevice("wasm");
  });

  it("has the value and the gradients of jax-js, in the structure of the parameters", () => {
    const inputs = numpy.array(x), onehot = nn.oneHot(numpy.array(labels as Int32Array<ArrayBuffer>, { dtype: jax.numpy.int32 }), 3);
    const params = { w: numpy.array([[0.1, -0.2, 0.3], [0.4, 0.5, -0.6]]), b: numpy.array([0.1, 0, -0.1]) };
    const model = ({ w, b }: typeof params) => numpy.matmul(inputs.ref, w).add(b);
    const { loss, grads } = jaxLoss(jax, crossEntropy)(model, { w: params.w.ref, b: params.b.ref }, labels);
    const [value, want] = jax.valueAndGrad((p: typeof params) => nn.logSoftmax(model(p), -1).mul(onehot.ref).sum().mul(-1 / 60))(params);
    expectClose(loss.item(), value.js(), { rtol: 5e-6 }); // theirs, in float32 throughout
    expectClose(grads.w.js().flat(), want.w.js().flat(), { atol: 1e-6 });
    expectClose(grads.b.js(), want.b.js(), { atol: 1e-6 });
  });
});
