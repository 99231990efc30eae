/**
 * What the adapters of frameworks have in common of which handlers return a `Response` and get a `next()` (Hono, h3).
 */

import { Greenlet, GreenletExit } from '../engine.ts'
import { disguised } from './disguise.ts'
import type { RequestGreenlets, Rules } from './request/request.ts'

type Handler<Context, Next> = (context: Context, next: Next) => unknown

/** The status of an answer to a client that has left. It is not sent; logs of other servers use it too. */
const CLIENT_LEFT = 499

export const rules: Rules = {
  exit(exit, request) {
    // The error handlers of the framework would get it.
    if (request.abandoned) return left()
    throw request.errorFor(exit)
  },
}

function left(): Response {
  return new Response(null, { status: CLIENT_LEFT })
}

/**
 * Makes the wrapper of a handler, which calls it in a greenlet of its request.
 *
 * @param find gives the greenlets of the request, if it has any
 * @param show puts the running greenlet where the program finds it
 */
export function enteredBy<Context, Next extends () => unknown>(
  handler: Handler<Context, Next>,
  find: (context: Context) => RequestGreenlets | undefined,
  show: (context: Context, greenlet: Greenlet) => void,
): Handler<Context, Next> {
  return disguised(function (this: unknown, context: Context, next: Next): unknown {
    const request = find(context)
    if (request === undefined) return handler.call(this, context, next)
    if (request.abandoned) return left()
    const goOn = (): unknown => {
      const rest = next()
      if (request.abandoned && request.inside) throw new GreenletExit()
      return rest
    }
    return request.run(() => {
      show(context, Greenlet.current)
      return handler.call(this, context, goOn as Next)
    })
  }, handler)
}
