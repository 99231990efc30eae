// The claims of docs/semantics.md about collection: which suspended greenlets are found when they are unreachable.

import test from 'ava'
import { Greenlet } from '../js/index.ts'
import { collectUntil } from './helpers/collect.ts'

const { main } = Greenlet

const ended: string[] = []

function toMain(): void {
  try {
    main.switch()
  } finally {
    ended.push('to main')
  }
}

function toParent(): void {
  try {
    for (;;) Greenlet.current.parent!.switch(1, 2)
  } finally {
    ended.push('to the parent')
  }
}

function withVariable(): void {
  const me = Greenlet.current
  try {
    main.switch()
  } finally {
    ended.push(`variable of ${me.name}`)
  }
}

class Method extends Greenlet {
  override run(): void {
    try {
      main.switch()
    } finally {
      ended.push('method')
    }
  }
}

function start(): void {
  new Greenlet(toMain).switch()
  new Greenlet(toParent).switch()

  new Greenlet(withVariable).switch()
  const g: Greenlet = new Greenlet(() => {
    try {
      main.switch(() => g)
    } finally {
      ended.push('closure')
    }
  })
  g.switch()
  new Method().switch()
}

test('an unreachable suspended greenlet is ended unless its own stack holds it, and Greenlet.all() lists the others', async (t) => {
  start()
  await collectUntil(() => ended.length > 2)
  t.deepEqual(ended.splice(0).toSorted(), ['to main', 'to the parent'])
  for (const g of Greenlet.all()) if (g !== main) g.kill()
  t.deepEqual(ended.toSorted(), ['closure', 'method', 'variable of withVariable'])
})
