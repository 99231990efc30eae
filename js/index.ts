/**
 * greenlets: functions on native stacks of their own, for Node.js.
 */

export {
  GreenletError,
  type GreenletErrorCode,
  GreenletExit,
  StaleFrameError,
  UnsupportedRuntimeError,
} from './errors.ts'
export type { DetachedFrame, Frame, FrameData } from './frames/frame.ts'
export type { FrameStack } from './frames/stack.ts'
export { Greenlet, type GreenletOptions, type GreenletState } from './greenlet.ts'
export { sleep, wait } from './hub.ts'
export { configure, type Options, type RuntimeInfo, runtimeInfo } from './native.ts'
export { spawn, type SpawnedGreenlet } from './spawn.ts'
export { gettrace, settrace, type TraceEvent, type TraceFunction } from './tracing.ts'
export { version } from './version.ts'

import './leaked.ts'
import './unreachable.ts'
