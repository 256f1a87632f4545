/** What this package uses of WebGPU, structurally: declarations stay readable for a TypeScript without them, and any implementation fits. */

/** A `GPUBuffer`. */
export interface GpuBufferLike {
  readonly size: number;
  readonly usage: number;
  readonly label?: string;
  mapAsync(mode: number, offset?: number, size?: number): Promise<undefined | void>;
  getMappedRange(offset?: number, size?: number): ArrayBuffer;
  unmap(): void;
  destroy(): void;
}

/** A `GPUDevice`. */
export interface GpuDeviceLike {
  readonly features: { has(name: string): boolean };
  readonly limits: { readonly maxStorageBufferBindingSize: number; readonly maxBufferSize: number; readonly minStorageBufferOffsetAlignment: number; readonly maxComputeWorkgroupsPerDimension: number };
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  readonly queue: {
    submit(buffers: never[]): void;
    writeBuffer(buffer: never, offset: number, data: ArrayBufferView | ArrayBuffer, dataOffset?: number, size?: number): void;
  };
  createBuffer(descriptor: { size: number; usage: number; label?: string }): GpuBufferLike;
  createShaderModule(descriptor: { code: string; label?: string }): unknown;
  createBindGroupLayout(descriptor: never): unknown;
  createPipelineLayout(descriptor: never): unknown;
  createComputePipeline(descriptor: never): unknown;
  createBindGroup(descriptor: never): unknown;
  createCommandEncoder(): unknown;
  pushErrorScope(filter: "validation" | "out-of-memory"): void;
  popErrorScope(): Promise<{ readonly message: string } | null>;
  destroy(): void;
}

/** An entry point of WebGPU: `navigator.gpu`, or what a package brings to Node. */
export interface GpuEntryLike {
  requestAdapter(options?: { powerPreference?: "low-power" | "high-performance" }): Promise<unknown>;
}

/** A `GPUAdapter`. */
export interface AdapterLike {
  readonly features: { has(name: string): boolean };
  readonly limits: Readonly<Record<string, number>>;
  readonly info?: { readonly vendor?: string; readonly architecture?: string; readonly device?: string; readonly description?: string };
  requestDevice(descriptor: { requiredFeatures: string[]; requiredLimits: Record<string, number> }): Promise<GpuDeviceLike>;
}

/** Bits of `GPUBufferUsage`. */
export const MAP_READ = 1;
export const COPY_SRC = 4;
export const COPY_DST = 8;
export const UNIFORM = 64;
export const STORAGE = 128;

/** The calls whose arguments are objects of WebGPU: typed once, here. */
export interface Encoder {
  beginComputePass(): { setPipeline(p: unknown): void; setBindGroup(i: number, group: unknown): void; dispatchWorkgroups(x: number, y: number, z: number): void; end(): void };
  copyBufferToBuffer(from: unknown, fromOffset: number, to: unknown, toOffset: number, size: number): void;
  clearBuffer(buffer: unknown, offset: number, size: number): void;
  finish(): never;
}
