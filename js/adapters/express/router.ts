/**
 * Replaces the methods by which Express' router calls handlers, because the router has no hook for that. They are
 * replaced once for all apps that share them. The new methods act on requests that have a chain, and do not change the
 * others.
 *
 *     Router.handle -> Layer.handleRequest, handleError -> handler     both replaced; handle_request, handle_error in Express 4
 *                   -> functions given to router.param()               wrapped where the router keeps them
 */

import { typeError } from '../../common/errors.ts'
import { isThenable } from '../request/request.ts'
import { type Chain, chainOf, type Next, type Request } from './chain.ts'

type Param = (this: unknown, req: Request, res: object, next: Next, value: unknown, name: string) => unknown
type HandleRequest = (this: Layer, req: Request, res: object, next: Next) => void
type HandleError = (this: Layer, error: unknown, req: Request, res: object, next: Next) => void

/** The parts of https://www.npmjs.com/package/router, version 2, and of Express 4's own router, that matter here. */
interface Layer {
  readonly handle: unknown
  handleRequest: HandleRequest
  handleError: HandleError
  handle_request: HandleRequest
  handle_error: HandleError
}

interface Router {
  readonly stack: readonly Layer[]
  readonly params: Readonly<Record<string, Param[]>>
}

/** The names of the two methods. */
const METHODS = [
  ['handleRequest', 'handleError'],
  ['handle_request', 'handle_error'],
] as const
type Names = (typeof METHODS)[number]

/** What is done already: prototypes of layers that were patched, and wrappers of `param()` callbacks. */
const patched = new WeakSet<object>()
/** The prototype that was found there last: most programs have one, and this question takes less time. */
let latest: object | undefined

/**
 * Makes sure that the layers of an app's router call handlers through the request's chain.
 *
 * @throws TypeError if it is not an app of Express 4 or 5
 */
export function patchRouterOf(app: unknown): void {
  const router = routerOf(app)
  if (!isRouter(router)) {
    throw typeError(
      'greenlets() is for Express 5 and 4, and did not find their router, with layers that have handleRequest() and ' +
        'handleError(), in the app of this request; use it as app.use(greenlets()) with express@5 or express@4',
    )
  }
  patchRouter(router)
}

function routerOf(app: unknown): unknown {
  try {
    // Express 4 has `_router`; its `router` throws.
    const { _router } = app as { readonly _router?: unknown }
    return _router ?? (app as { readonly router?: unknown }).router
  } catch {
    return undefined
  }
}

/** Whether it looks like a router that has at least one layer. */
function isRouter(value: unknown): value is Router {
  if (typeof value !== 'function') return false
  const { stack, params } = value as Partial<Router>
  return typeof params === 'object' && namesOf(stack?.[0]) !== undefined
}

function namesOf(layer: Layer | undefined): Names | undefined {
  if (typeof layer?.handleRequest === 'function' && typeof layer.handleError === 'function') return METHODS[0]
  if (typeof layer?.handle_request === 'function' && typeof layer.handle_error === 'function') return METHODS[1]
  return undefined
}

function patchRouter({ stack, params }: Router): void {
  const names = namesOf(stack[0])!
  // A nested router may come from another copy of the package, with a prototype of its own.
  replaceMethods(Object.getPrototypeOf(stack[0]), names)
  for (const name in params) wrapParams(params[name]!, names === METHODS[0])
}

function replaceMethods(layers: Layer, [requestName, errorName]: Names): void {
  if (layers === latest) return
  latest = layers
  if (patched.has(layers)) return
  patched.add(layers)
  const { [requestName]: handleRequest, [errorName]: handleError } = layers

  layers[requestName] = function handleRequestInGreenlet(req, res, next) {
    const chain = chainOf(req)
    if (chain === undefined) return handleRequest.call(this, req, res, next)

    if (!chain.mayGoOn(undefined)) return
    if (isRouter(this.handle)) patchRouter(this.handle)
    const follow = followOf(chain, req, next)
    if (chain.isHere) handleRequest.call(this, req, res, follow)
    else chain.enter(() => handleRequest.call(this, req, res, follow), next)
  }

  layers[errorName] = function handleErrorInGreenlet(error, req, res, next) {
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
  // Methods such as `res.render()` pass their errors to `req.next`.
  if (req.next === next) req.next = follow
  return follow
}

function wrapParams(callbacks: Param[], catchesRejections: boolean): void {
  for (const [i, callback] of callbacks.entries()) {
    if (!patched.has(callback)) callbacks[i] = wrapParam(callback, catchesRejections)
  }
}

/**
 * Express calls these before the layer, and catches their errors itself, so the layer does not see them.
 *
 * @param catchesRejections whether Express does so for promises too: Express 5 does, and Express 4 ignores them
 */
function wrapParam(callback: Param, catchesRejections: boolean): Param {
  const wrapped: Param = function paramInGreenlet(req, res, next, value, name) {
    const chain = chainOf(req)
    if (chain === undefined) return callback.call(this, req, res, next, value, name)

    if (!chain.mayGoOn(undefined)) return undefined
    const follow = chain.follow(next)
    const call = (): void => {
      try {
        const result = callback.call(this, req, res, follow, value, name)
        if (catchesRejections && isThenable(result)) {
          result.then(undefined, (error) => follow(error || new Error('Rejected promise')))
        }
      } catch (error) {
        // Express would pass it to the next layer. The `next()` further out, if there is one, throws a GreenletExit
        // again.
        if (!chain.isOver(error)) throw chain.answerable(error)
      }
    }
    if (chain.isHere) call()
    else chain.enter(call, next)
    return undefined
  }
  patched.add(wrapped)
  return wrapped
}
