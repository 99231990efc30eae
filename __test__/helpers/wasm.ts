// A wasm module that calls back: `call()` returns the result of its import plus one.

// The types of TypeScript have WebAssembly for browsers only.
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: {
    Module: new (bytes: Uint8Array) => object
    Instance: new (module: object, imports: object) => { exports: { call: unknown } }
    promising?: (f: () => number) => () => Promise<number>
    Suspending?: new (f: () => Promise<number>) => object
  }
}

const section = (id: number, bytes: readonly number[]): number[] => [id, bytes.length, ...bytes]
const name = (text: string): number[] => [text.length, ...Buffer.from(text)]

const BYTES = new Uint8Array([
  // oxlint-disable-next-line no-useless-spread -- keeps the line together in the formatter
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [1, 0x60, 0, 1, 0x7f]), // (type (func (result i32)))
  ...section(2, [1, ...name('e'), ...name('f'), 0, 0]), // (import "e" "f" (func (type 0)))
  ...section(3, [1, 0]),
  ...section(7, [1, ...name('call'), 0, 1]), // (export "call" (func 1))
  ...section(10, [1, 7, 0, 0x10, 0, 0x41, 1, 0x6a, 0x0b]), // call 0, i32.const 1, i32.add
])

/** A wasm function that calls `f`. */
export function calling(f: unknown): () => number {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(BYTES), { e: { f } })
  return instance.exports.call as () => number
}

const { promising, Suspending } = WebAssembly

/** JavaScript promise integration (JSPI), in Node 24 and later. */
export const jspi = promising && Suspending && { promising, Suspending }

/** A wasm call that V8 suspends on a stack of its own for `ms` milliseconds. */
export function suspendedFor(ms: number): Promise<number> {
  return jspi!.promising(calling(new jspi!.Suspending(() => new Promise((resolve) => setTimeout(resolve, ms, ms)))))()
}
