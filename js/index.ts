/**
 * greenlets: functions on native stacks of their own, for Node.js. This file is the public API.
 */

export type { GreenletErrorCode } from './common/errors.ts'
export {
  bind,
  blocking,
  configure,
  describe,
  gettrace,
  Greenlet,
  GreenletError,
  GreenletExit,
  runtimeInfo,
  settrace,
  sleep,
  spawn,
  StaleFrameError,
  TimeoutError,
  UnsupportedRuntimeError,
  version,
  wait,
} from './engine.ts'
export type { GreenletOptions } from './greenlet/greenlet.ts'
export type { KillAllOptions } from './greenlet/kill-all.ts'
export type { GreenletState } from './greenlet/state.ts'
export type { TraceEvent, TraceFunction } from './greenlet/tracing.ts'
export type { SleepOptions } from './hub/sleep.ts'
export type { WaitLimits } from './hub/limits.ts'
export type { Spawn, SpawnedGreenlet, SpawnOptions } from './hub/spawn.ts'
export type { WaitOptions } from './hub/wait.ts'
export type { Options } from './native/configure.ts'
export type { RuntimeInfo } from './native/runtime-info.ts'
export type { DetachedFrame, Frame, FrameData, FrameJSON } from './stack/frame.ts'
export type { OriginalPosition } from './stack/source-maps.ts'
export type { FrameStack } from './stack/stack.ts'

// Only for its effect: it prints leaked greenlets at the end, if an environment variable asks for it.
import './dump/leak-warning.ts'
import './dump/shared-warning.ts'
