/**
 * All functions and classes of the package. [Getting started](../../../docs/getting-started.md) shows the first steps, and
 * [the index](../../../docs/README.md) lists all guides.
 *
 * @module greenlets
 */

// The API reference is made from this file. It exports what js/index.ts exports, but from the files that have the docstrings:
// js/engine.ts passes functions on as constants, which have none. scripts/docs/site.ts compares the two lists.

export {
  GreenletError,
  GreenletExit,
  StaleFrameError,
  TimeoutError,
  UnsupportedRuntimeError,
} from '../../../js/common/errors.ts'
export { version } from '../../../js/common/version.ts'
export { Greenlet } from '../../../js/greenlet/greenlet.ts'
export { gettrace, settrace } from '../../../js/greenlet/tracing.ts'
export { bind, blocking } from '../../../js/hub/blocking.ts'
export { describe } from '../../../js/dump/describe.ts'
export { sleep } from '../../../js/hub/sleep.ts'
export { spawn } from '../../../js/hub/spawn.ts'
export { wait } from '../../../js/hub/wait.ts'
export type {
  DetachedFrame,
  Frame,
  FrameData,
  FrameJSON,
  FrameStack,
  GreenletErrorCode,
  GreenletOptions,
  GreenletState,
  KillAllOptions,
  Options,
  OriginalPosition,
  RuntimeInfo,
  SleepOptions,
  Spawn,
  SpawnedGreenlet,
  SpawnOptions,
  TraceEvent,
  TraceFunction,
  WaitLimits,
  WaitOptions,
} from '../../../js/index.ts'
export { configure } from '../../../js/native/configure.ts'
export { runtimeInfo } from '../../../js/native/runtime-info.ts'
