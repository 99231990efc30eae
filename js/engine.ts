/**
 * The API that this copy of the package exports: its own, or that of a copy that was loaded into this thread before; see
 * native/copies.ts. All public modules import from here.
 */

import * as errors from './common/errors.ts'
import { tellWait as ownTellWait } from './common/tool-wait.ts'
import { version } from './common/version.ts'
import { thread } from './core/thread.ts'
import { closeInspector as ownCloseInspector } from './dump/close.ts'
import { collectThread as ownCollectThread, dumpJSON as ownDumpJSON } from './dump/collect.ts'
import type { Extent } from './dump/extent.ts'
import { publishEvents as ownPublishEvents } from './dump/events.ts'
import { LiveThread } from './dump/live.ts'
import { recordOrigins as ownRecordOrigins } from './dump/origins.ts'
import { Fiber, greenletOf } from './fibers/fiber.ts'
import { checkGreenlet as ownCheckGreenlet } from './greenlet/access.ts'
import * as classes from './greenlet/greenlet.ts'
import { gettrace as ownGettrace, settrace as ownSettrace } from './greenlet/tracing.ts'
import { bind as ownBind, blocking as ownBlocking } from './hub/blocking.ts'
import { reasonOf as ownReasonOf } from './hub/limits.ts'
import { describe as ownDescribe } from './dump/describe.ts'
import { sleep as ownSleep } from './hub/sleep.ts'
import { spawn as ownSpawn } from './hub/spawn.ts'
import { wait as ownWait } from './hub/wait.ts'
import { tellDeadline as ownTellDeadline } from './hub/wait-of.ts'
import { location } from './native/addon.ts'
import { configure as ownConfigure } from './native/configure.ts'
import { joinThread, refuseSecondCopy as ownRefuseSecondCopy } from './native/copies.ts'
import { runtimeInfo as ownRuntimeInfo } from './native/runtime-info.ts'
import { placeOf as ownPlaceOf } from './stack/frame.ts'

const engine = joinThread(
  {
    GreenletError: errors.GreenletError,
    GreenletExit: errors.GreenletExit,
    StaleFrameError: errors.StaleFrameError,
    TimeoutError: errors.TimeoutError,
    UnsupportedRuntimeError: errors.UnsupportedRuntimeError,
    Greenlet: classes.Greenlet,
    gettrace: ownGettrace,
    settrace: ownSettrace,
    sleep: ownSleep,
    spawn: ownSpawn,
    blocking: ownBlocking,
    bind: ownBind,
    wait: ownWait,
    describe: ownDescribe,
    configure: ownConfigure,
    runtimeInfo: ownRuntimeInfo,

    // For the tools and the adapters.
    tellWait: ownTellWait,
    tellDeadline: ownTellDeadline,
    // For dumps, also those that another process asks for; see dump/protocol.ts.
    collectThread: ownCollectThread,
    dumpJSON: ownDumpJSON,
    closeInspector: ownCloseInspector,
    recordOrigins: ownRecordOrigins,
    publishEvents: ownPublishEvents,
    refuseSecondCopy: ownRefuseSecondCopy,
    /** For a page that is refreshed. */
    makeLive: (extent: Extent) => new LiveThread(extent),

    // For the arguments of `greenlets/inspect` and `greenlets/testing`.
    isGreenlet: classes.isGreenlet,
    checkGreenlet: ownCheckGreenlet,

    // For `greenlets/inspect`.
    placeOf: ownPlaceOf,
    isGlobal: (object: object): boolean => thread.native.isGlobal(object),
    debuggerIsActive: (): boolean => thread.native.debuggerIsActive(),

    /** For `greenlets/fibers`. All copies have one Future, which that of them sets where it is loaded first. */
    fibers: { Fiber, greenletOf, Future: undefined as unknown },

    // For the adapters.
    isExit: errors.isExit,
    reasonOf: ownReasonOf,
    /** Greenlets of which the request had to end by now: nothing is tried again in them. */
    expired: new WeakSet<classes.Greenlet>(),
    /** From now on the timers of this realm are used. A test runner may have replaced them by fake ones. */
    useTimersOf(realm: Partial<typeof globalThis>): void {
      const { setTimeout, clearTimeout, setImmediate } = realm
      // A bare `vm` context has none.
      if (setTimeout && clearTimeout && setImmediate) thread.realm = realm as typeof globalThis
    },
  },
  version,
  location,
)
engine.useTimersOf(globalThis)

export const { gettrace, settrace, sleep, spawn, blocking, bind, wait, describe, configure, runtimeInfo } = engine
export const { isExit, reasonOf, expired, tellWait, tellDeadline, collectThread, dumpJSON, recordOrigins, makeLive } =
  engine
export const { publishEvents, isGreenlet, checkGreenlet, refuseSecondCopy } = engine
export const { placeOf, isGlobal, debuggerIsActive, fibers } = engine
export { version }

// The classes, with their types.
export const { Greenlet, GreenletError, GreenletExit, StaleFrameError, TimeoutError, UnsupportedRuntimeError } = engine
export type Greenlet = classes.Greenlet
export type GreenletError = errors.GreenletError
export type GreenletExit = errors.GreenletExit
export type StaleFrameError = errors.StaleFrameError
export type TimeoutError = errors.TimeoutError
export type UnsupportedRuntimeError = errors.UnsupportedRuntimeError
