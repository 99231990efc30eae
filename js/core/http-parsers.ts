/**
 * Protects the parsers of `node:http`. A parser calls JavaScript while it reads data, for example the handler of a
 * request. Where a greenlet gives data to a socket that is made in JavaScript, the handler runs on the greenlet's stack,
 * and may switch away. If the socket is closed meanwhile, Node.js gives its parser to the next connection, or deletes it
 * in the next turn of the event loop.
 *
 * So a parser that is in use is neither given away nor deleted before the call has returned, and it reads nothing more.
 */

import { immediate } from '../common/turns.ts'
import { inUse } from './calls-in-progress.ts'
import { readsJsStream } from './js-streams.ts'
import { isLoaded, whenAssigned } from './loaded-later.ts'
import { DEAD, type GreenletRecord } from './record.ts'
import { type Methods, replace, replaceEach } from './replace.ts'
import { thread } from './thread.ts'

/** What is used of `_http_common`; see lib/_http_common.js of Node 20 to 26. */
interface HttpCommon {
  readonly HTTPParser: { readonly prototype: Methods }
  /** The parsers that no connection has. */
  readonly parsers: Methods
}

/** A parser, as far as this file needs it. */
interface Parser {
  close(): void
  remove(): void
  incoming: unknown
  onIncoming: unknown
}

/** The calls of `execute` and `finish` of one parser that have not returned. */
interface Use {
  count: number
  /** The greenlet that made the first of them. */
  readonly greenlet: GreenletRecord
}

/** A result of `onIncoming`: what follows is of another protocol, so the parser stops. */
const UPGRADE = 2

/** Replaces methods of parsers now, or when `node:http` is loaded. */
export function patchHttpParsers(): void {
  const isReady = (): boolean => isLoaded('_http_common')
  if (isReady()) patch()
  // `OutgoingMessage` has this method. Its module loads `_http_common` first.
  else whenAssigned('_renderHeaders', isReady, patch)
}

function patch(): void {
  const getBuiltin = process.getBuiltinModule as (name: string) => unknown
  const { HTTPParser, parsers } = Reflect.apply(getBuiltin, process, ['_http_common']) as HttpCommon
  const uses = new WeakMap<object, Use>()
  /** Parsers that their connection has given up while they were in use. */
  const given = new WeakSet<object>()
  const { remove } = HTTPParser.prototype as unknown as Parser

  replaceEach(HTTPParser.prototype, ['execute', 'finish'], (method, name) => {
    return function (...args) {
      const parser = this as Parser
      let use = uses.get(parser)
      // V8 may have ended a greenlet without running its `finally` blocks.
      if (use === undefined || use.greenlet.state === DEAD) {
        use = { count: 0, greenlet: thread.current }
        uses.set(parser, use)
      } else if (name === 'execute' && use.greenlet !== thread.current) {
        const [call, action] = ['a callback of the same connection', 'the HTTP parser cannot read this data']
        throw inUse(use.greenlet, call, action, 'give the socket more data after that')
      }
      use.count++
      try {
        return Reflect.apply(method, parser, args)
      } finally {
        if (--use.count === 0) {
          uses.delete(parser)
          if (given.has(parser)) {
            // The call may have put it into the server's list of connections again. The caller still uses the object.
            Reflect.apply(remove, parser, [])
            immediate(() => parser.close())
          }
        }
      }
    }
  })
  // C++ would give the data of such a connection to the parser itself, without `execute`. Otherwise the socket does.
  replace(HTTPParser.prototype, 'consume', (consume) => {
    return function (...args) {
      return readsJsStream(args[0]) ? undefined : Reflect.apply(consume, this, args)
    }
  })
  replace(HTTPParser.prototype, 'close', (close) => {
    return function (...args) {
      return uses.has(this as object) ? undefined : Reflect.apply(close, this, args)
    }
  })
  // Where this returns false, Node.js closes the parser instead of keeping it for another connection.
  replace(parsers, 'free', (free) => {
    return function (...args) {
      const parser = args[0] as Parser
      if (uses.has(parser)) {
        given.add(parser)
        parser.onIncoming = () => {
          parser.incoming = null
          return UPGRADE
        }
      }
      return given.has(parser) ? false : Reflect.apply(free, this, args)
    }
  })
}
