import type { Fiber as FiberInstance, FiberConstructor } from 'greenlets/fibers'

declare const Fiber: FiberConstructor
type Fiber = FiberInstance
export = Fiber
