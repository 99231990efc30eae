// OpenTelemetry keeps its spans in AsyncLocalStorage. They stay correct across waits.

import test from 'ava'
import { context, createContextKey, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'
import { later, turn } from '../helpers/promises.ts'

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

const REQUEST = createContextKey('request')
const requestHere = (): unknown => context.active().getValue(REQUEST)
const spanHere = (): string | undefined => trace.getSpanContext(context.active())?.spanId
const spanId = (request: number, step: number): string => `${request}${step}`.padStart(16, '0')

/** Calls `fn` in a span. */
function inSpan<T>(id: string, fn: () => T): T {
  const span = trace.wrapSpanContext({ traceId: id.padStart(32, '0'), spanId: id, traceFlags: 1 })
  return context.with(trace.setSpan(context.active(), span), fn)
}

test('each request keeps its span while it waits', async (t) => {
  const handle = (request: number): number =>
    [1, 2, 3].reduce(
      (sum, step) =>
        inSpan(spanId(request, step), () => {
          const n = wait(later(step, (request * 7 + step) % 5))
          t.is(requestHere(), request)
          t.is(spanHere(), spanId(request, step))
          inSpan(spanId(request, step + 3), () => {
            sleep(request % 3)
            t.is(spanHere(), spanId(request, step + 3))
          })
          t.is(spanHere(), spanId(request, step))
          return sum + n
        }),
      0,
    )
  const spawned = Array.from({ length: 30 }, (_, request) =>
    context.with(context.active().setValue(REQUEST, request), () => spawn(handle, request)),
  )
  t.deepEqual(await Promise.all(spawned), Array.from({ length: 30 }).fill(6))
  t.is(requestHere(), undefined)
  t.is(spanHere(), undefined)
})

test('callbacks that a span starts, and functions from bind(), run in that span', async (t) => {
  const seen: unknown[] = []
  const g = new Greenlet(() =>
    inSpan(spanId(1, 1), () => {
      setTimeout(() => seen.push(spanHere()), 1)
      const bound = context.bind(context.active(), () => seen.push(spanHere()))
      Greenlet.main.switch(bound)
      setImmediate(() => seen.push(spanHere()))
      return spanHere()
    }),
  )
  const bound = g.switch<() => void>()
  bound()
  t.is(spanHere(), undefined)
  t.is(g.switch(), spanId(1, 1))
  await later(0, 10)
  await turn()
  t.deepEqual(seen, [spanId(1, 1), spanId(1, 1), spanId(1, 1)])
})
