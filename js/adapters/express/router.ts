/**
 * The hold on Express' router, which has no place for one of its own: the methods by which it calls handlers are replaced,
 * once for all apps that share it. They act on requests that have a chain, and leave the others alone.
 *
 *     Router.handle -> Layer.handleRequest, handleError -> handler     both replaced
 *                   -> functions given to router.param()               wrapped where the router keeps them
 */

import { typeError } from '../../check.ts'
import { type Chain, chainOf, type Next, type Request } from './chain.ts'

type Param = (this: unknown, req: Request, res: object, next: Next, value: unknown, name: string) => unknown

/** The parts of https://www.npmjs.com/package/router, version 2, that matter here. */
interface Layer {
  readonly handle: unknown
  handleRequest(req: Request, res: object, next: Next): void
  handleError(error: unknown, req: Request, res: object, next: Next): void
}

interface Router {
  readonly stack: readonly Layer[]
  readonly params: Readonly<Record<string, Param[]>>
}

/** What was replaced or wrapped already: prototypes of layers, and our own functions for `param()`. */
const adopted = new WeakSet<object>()

/**
 * Makes sure that the layers of an app's router call handlers by way of the request's chain.
 *
 * @throws TypeError if it is not an app of Express 5
 */
export function adopt(app: unknown): void {
  const router = routerOf(app)
  if (!isRouter(router)) {
    throw typeError(
      'greenlets() is for Express 5, and did not find its router, with layers that have handleRequest() and ' +
        'handleError(), in the app of this request; use it as app.use(greenlets()) with express@5',
    )
  }
  adoptRouter(router)
}

function routerOf(app: unknown): unknown {
  try {
    // In Express 4 this throws.
    return (app as { router?: unknown } | undefined)?.router
  } catch {
    return undefined
  }
}

/** Whether it looks like a router that has something to call. */
function isRouter(value: unknown): value is Router {
  if (typeof value !== 'function') return false
  const { stack, params } = value as Partial<Router>
  const layer = stack?.[0]
  return (
    typeof layer?.handleRequest === 'function' && typeof layer.handleError === 'function' && typeof params === 'object'
  )
}

function adoptRouter({ stack, params }: Router): void {
  // A nested router may come from another copy of the package, with a prototype of its own.
  replaceMethods(Object.getPrototypeOf(stack[0]))
  for (const name in params) wrapParams(params[name]!)
}

function replaceMethods(layers: Layer): void {
  if (adopted.has(layers)) return
  adopted.add(layers)
  const { handleRequest, handleError } = layers

  layers.handleRequest = function handleRequestInGreenlet(req, res, next) {
    const chain = chainOf(req)
    if (chain === undefined) return handleRequest.call(this, req, res, next)

    if (!chain.mayGoOn(undefined)) return
    if (isRouter(this.handle)) adoptRouter(this.handle)
    const follow = followOf(chain, req, next)
    if (chain.isHere) handleRequest.call(this, req, res, follow)
    else chain.enter(() => handleRequest.call(this, req, res, follow), next)
  }

  layers.handleError = function handleErrorInGreenlet(error, req, res, next) {
    const chain = chainOf(req)
    if (chain === undefined) return handleError.call(this, error, req, res, next)

    if (!chain.mayGoOn(error)) return
    const follow = followOf(chain, req, next)
    if (chain.isHere) handleError.call(this, error, req, res, follow)
    else chain.enter(() => handleError.call(this, error, req, res, follow), next)
  }
}

function followOf(chain: Chain, req: Request, next: Next): Next {
  const follow = chain.follow(next)
  // That is where `res.render()` and the like take what they catch.
  if (req.next === next) req.next = follow
  return follow
}

function wrapParams(callbacks: Param[]): void {
  for (const [i, callback] of callbacks.entries()) if (!adopted.has(callback)) callbacks[i] = wrapParam(callback)
}

/** Express calls these before the layer, and catches what they throw without telling it. */
function wrapParam(callback: Param): Param {
  const wrapped: Param = function paramInGreenlet(req, res, next, value, name) {
    const chain = chainOf(req)
    if (chain === undefined) return callback.call(this, req, res, next, value, name)

    if (!chain.mayGoOn(undefined)) return undefined
    const follow = chain.follow(next)
    const call = (): void => {
      try {
        const result = callback.call(this, req, res, follow, value, name)
        if (isThenable(result)) result.then(undefined, (error) => follow(error || new Error('Rejected promise')))
      } catch (error) {
        // Express would take it to the next layer. The `next()` further out, if there is one, throws another.
        if (!chain.isOver(error)) throw error
      }
    }
    if (chain.isHere) call()
    else chain.enter(call, next)
    return undefined
  }
  adopted.add(wrapped)
  return wrapped
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}
