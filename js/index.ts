/**
 * greenlets: functions on native stacks of their own, for Node.js. This file is the public API.
 */

export {
  GreenletError,
  type GreenletErrorCode,
  GreenletExit,
  StaleFrameError,
  UnsupportedRuntimeError,
} from './common/errors.ts'
export { version } from './common/version.ts'
export { Greenlet, type GreenletOptions, type GreenletState } from './greenlet/greenlet.ts'
export { gettrace, settrace, type TraceEvent, type TraceFunction } from './greenlet/tracing.ts'
export { sleep } from './hub/sleep.ts'
export { spawn, type SpawnedGreenlet } from './hub/spawn.ts'
export { wait } from './hub/wait.ts'
export { configure, type Options } from './native/configure.ts'
export { type RuntimeInfo, runtimeInfo } from './native/runtime-info.ts'
export type { DetachedFrame, Frame, FrameData } from './stack/frame.ts'
export type { FrameStack } from './stack/stack.ts'

// Only for its effect: it prints leaked greenlets at the end, if an environment variable asks for it.
import './dump/leak-warning.ts'
import './dump/shared-warning.ts'
