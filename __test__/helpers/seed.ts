// The program of python-greenlet issue #388: `outer` calls `inner`, and `inner` switches away.

import { inspect } from 'node:util'
import { Greenlet } from '../../js/index.ts'

export function inner(value: unknown): unknown {
  return Greenlet.main.switch(value)
}

export function outer(value: unknown): unknown {
  return inner(value)
}

/** A suspended greenlet with these two frames. */
export function parked(): Greenlet {
  const g = new Greenlet(outer, { name: 'x' })
  g.switch(42)
  return g
}

/** All keys of a frame or a stack, own and inherited. */
export function keysOf(object: object): (string | symbol)[] {
  const keys = new Set<string | symbol>()
  for (let at: object | null = object; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const key of Reflect.ownKeys(at)) keys.add(key)
  }
  return [...keys].filter((key) => key !== 'constructor' && key !== inspect.custom)
}
