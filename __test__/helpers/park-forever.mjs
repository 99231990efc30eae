// Suspends greenlets until one cannot start.

import { Greenlet } from '../../js/index.ts'

export function parkForever() {
  const all = []
  for (;;) {
    all.push(new Greenlet(leak))
    all.at(-1).switch()
  }
}

function leak() {
  return Greenlet.main.switch()
}
