/**
 * What a program may change of a greenlet, with the checks: its `run`, its parent and its context.
 */

import type { AsyncResource } from 'node:async_hooks'
import { GreenletError } from '../common/errors.ts'
import { quoted } from '../common/text.ts'
import { changeContext } from './context.ts'
import { finishEnded } from './lifecycle.ts'
import { type GreenletRecord, UNSTARTED } from './record.ts'
import { main } from './thread.ts'
import { checkRun } from './validate.ts'

/**
 * @throws GreenletError `ERR_GREENLET_STARTED` once it has started
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function changeRun(record: GreenletRecord, run: unknown): void {
  if (record.state !== UNSTARTED) {
    throw new GreenletError(
      'ERR_GREENLET_STARTED',
      `greenlet ${quoted(record.name)} has started, and its run can no longer be set; make a new greenlet`,
    )
  }
  record.run = checkRun(run)
  record.spawnArguments = undefined
}

/** @throws GreenletError `ERR_GREENLET_MAIN`, `ERR_GREENLET_PARENT_CYCLE` */
export function changeParent(record: GreenletRecord, next: GreenletRecord): void {
  if (record === main) {
    throw new GreenletError(
      'ERR_GREENLET_MAIN',
      'cannot set the parent of main: it has none, and every chain of parents ends there',
    )
  }
  for (let ancestor: GreenletRecord | null = next; ancestor !== null; ancestor = ancestor.parent) {
    if (ancestor !== record) continue
    throw new GreenletError(
      'ERR_GREENLET_PARENT_CYCLE',
      next === record
        ? `cyclic parent chain: ${quoted(record.name)} cannot be its own parent; give it another one`
        : `cyclic parent chain: ${quoted(next.name)} descends from ${quoted(record.name)}; give ${quoted(next.name)} another parent first`,
    )
  }
  record.parent = next
  record.killers = undefined
}

/** @throws GreenletError `ERR_GREENLET_MAIN` */
export function replaceContext(record: GreenletRecord, context: AsyncResource | null): void {
  finishEnded()
  if (record === main) {
    throw new GreenletError(
      'ERR_GREENLET_MAIN',
      'cannot set the context of main: it changes with every callback of the event loop; use AsyncLocalStorage.run() there',
    )
  }
  changeContext(record, context)
}
