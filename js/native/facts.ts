/** The facts about V8 and Node.js that greenlets rely on, as a list for `greenlets doctor`. */

import { addon } from './addon.ts'
import type { LearntFact } from './binding.cjs'

export type { LearntFact }

/** Empty where there is no addon. */
export function learntFacts(): LearntFact[] {
  return addon.loadError === undefined ? addon.learntFacts() : []
}
