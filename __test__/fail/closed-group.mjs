// A child is spawned in a group that has ended.

import { spawn } from '../../js/index.ts'
import { group } from '../../js/tools/index.ts'

function owner() {
  const late = group((children) => ({ children }))
  late.children.spawn(() => {})
}
spawn(owner)
