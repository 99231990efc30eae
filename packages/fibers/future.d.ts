import type { Future as FutureInstance, FutureConstructor } from 'greenlets/fibers/future'

declare const Future: FutureConstructor
type Future<T = unknown> = FutureInstance<T>
export = Future
