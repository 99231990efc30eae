/**
 * `publishEvents()`: messages of `node:diagnostics_channel` about greenlets that were made and that have ended. Subscribers get data and
 * no greenlet, and get it in a microtask: they run neither in a constructor nor on a stack that ends.
 */

import { channel } from 'node:diagnostics_channel'
import { threadId } from 'node:worker_threads'
import { typeError } from '../common/errors.ts'
import { microtask } from '../common/turns.ts'
import { describe } from '../common/values.ts'
import type { GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { refuseSecondCopy } from '../native/copies.ts'
import { tellOfNew } from './creations.ts'

const made = channel('greenlets:new')
const ended = channel('greenlets:end')

const tellNew = (record: GreenletRecord): void => publish(made, record)
const tellEnd = (record: GreenletRecord): void => publish(ended, record)

/** See dump.ts. */
export function publishEvents(on: unknown = true): void {
  refuseSecondCopy()
  if (typeof on !== 'boolean') throw typeError(`publishEvents() takes true or false, not ${describe(on)}`)
  tellOfNew(tellNew, on)
  thread.onEnd = on ? tellEnd : undefined
}

function publish(to: typeof made, { serial, name, parent }: GreenletRecord): void {
  if (!to.hasSubscribers) return
  const message = { id: serial, name, parent: parent?.serial ?? null, threadId }
  microtask(() => to.publish(message))
}
