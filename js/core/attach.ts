/**
 * Sets up this thread for greenlets, when the first one is made.
 */

import { attach } from '../native/attach.ts'
import { mail, SELF_GENERATION, SELF_INDEX } from '../native/contract.ts'
import { findFrameKey } from './context.ts'
import { noticeExits } from './exits.ts'
import { entry } from './lifecycle.ts'
import { patchNode } from './node-patches.ts'
import { main, thread } from './thread.ts'

/** Makes sure that this thread can run greenlets; see `attach` in native/attach.ts for the errors. */
export function ensureAttached(): void {
  if (thread.attached) return
  // Native is attached once, also where a time limit of V8 ends one of the next steps and this function is called
  // again.
  thread.native ??= attach(entry)
  patchNode()
  noticeExits()
  main.index = mail[SELF_INDEX]!
  main.generation = mail[SELF_GENERATION]!
  findFrameKey()
  thread.attached = true
}
