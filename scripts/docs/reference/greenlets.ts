/**
 * All functions and classes of the package. [Getting started](../../../docs/getting-started.md) shows the first steps, and
 * [the index](../../../docs/README.md) lists all guides.
 *
 * @module greenlets
 */

// The API reference is made from this file. It exports what js/index.ts exports, but from the files that have the docstrings:
// js/engine.ts passes functions on as constants, which have none. scripts/docs/site.ts compares the two lists.

export type { GreenletErrorCode } from '../../../js/common/errors.ts'
export { GreenletError, GreenletExit, StaleFrameError, UnsupportedRuntimeError } from '../../../js/common/errors.ts'
export { version } from '../../../js/common/version.ts'
export { Greenlet } from '../../../js/greenlet/greenlet.ts'
export type { GreenletOptions, GreenletState } from '../../../js/greenlet/greenlet.ts'
export { gettrace, settrace } from '../../../js/greenlet/tracing.ts'
export type { TraceEvent, TraceFunction } from '../../../js/greenlet/tracing.ts'
export { sleep } from '../../../js/hub/sleep.ts'
export { spawn } from '../../../js/hub/spawn.ts'
export type { SpawnedGreenlet } from '../../../js/hub/spawn.ts'
export { wait } from '../../../js/hub/wait.ts'
export { configure } from '../../../js/native/configure.ts'
export type { Options } from '../../../js/native/configure.ts'
export { runtimeInfo } from '../../../js/native/runtime-info.ts'
export type { RuntimeInfo } from '../../../js/native/runtime-info.ts'
export type { DetachedFrame, Frame, FrameData, FrameJSON } from '../../../js/stack/frame.ts'
export type { FrameStack } from '../../../js/stack/stack.ts'
