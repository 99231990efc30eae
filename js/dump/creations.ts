/** What is told of each new greenlet. While nothing is, a new greenlet costs one comparison more. */

import type { GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'

type OnNew = (record: GreenletRecord) => void

const all = new Set<OnNew>()

/** From now on `listener` is called with each new greenlet; or no more, where it is not `on`. */
export function tellOfNew(listener: OnNew, on: boolean): void {
  if (on) all.add(listener)
  else all.delete(listener)
  const [only] = all
  thread.onNew = all.size > 1 ? tellAll : only
}

function tellAll(record: GreenletRecord): void {
  for (const listener of all) listener(record)
}
