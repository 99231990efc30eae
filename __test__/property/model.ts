/**
 * The model: the rules of Python's greenlet, and our own rules for `kill()`, over rows of a table. A body that has started is a
 * generator of requests to send a value or an error to a row. Only {@link Model.run} decides where it arrives, and in what
 * form.
 */

import { type Block, type Body, type Instruction, MOST_GREENLETS, type Program, type Thrown } from './program.ts'
import { type Completion, Story } from './story.ts'

/** Stands for an error or a GreenletExit. */
class Token {
  readonly label: string
  readonly isExit: boolean

  constructor(label: string) {
    this.label = label
    this.isExit = label.startsWith('x') || label === 'ERR_GREENLET_EXIT'
  }
}

type Parcel = { readonly threw: false; readonly value: unknown } | { readonly threw: true; readonly value: Token }
interface Request {
  readonly to: Row
  readonly parcel: Parcel
  /** The arguments of a start: several arguments stay separate, and do not become an array. */
  readonly args: readonly unknown[]
}
type Running = Generator<Request, unknown, unknown>

class Row {
  readonly number: number
  life: 'unstarted' | 'live' | 'dead' = 'unstarted'
  body: Body
  parent: Row | null
  /** The rows that are in `kill()` of this one. The last of them gets its result, in place of the parent. */
  readonly killers: Row[] = []
  running: Running | undefined
  /** Innermost first. */
  readonly frames: string[] = []
  resumed = 0

  constructor(number: number, parent: Row | null, body: Body) {
    this.number = number
    this.parent = parent
    this.body = body
  }

  get heir(): Row {
    return this.killers.at(-1) ?? this.parent!
  }
}

export function runModel(program: Program): string[] {
  return new Model(program).run()
}

class Model {
  readonly #program: Program
  readonly #rows: Row[] = [new Row(0, null, null)]
  readonly #looks: { readonly row: Row; readonly resumed: number }[] = []
  readonly #tokens = new Map<string, Token>()
  readonly #story = new Story((value) => (value as Token).label)
  #current = this.#rows[0]!

  constructor(program: Program) {
    this.#program = program
  }

  run(): string[] {
    const main = this.#current
    main.life = 'live'
    main.running = this.#live(main, this.#program.bodies[0]!)
    let parcel: Parcel = { threw: false, value: undefined }
    for (;;) {
      const row = this.#current
      const { request, end } = this.#resume(row, parcel)
      if (row === main && end) return this.#story.lines
      parcel = end ? this.#bury(row, end) : this.#send(request!)
    }
  }

  /** Runs the row until it sends something, or ends. */
  #resume(row: Row, parcel: Parcel): { request?: Request; end?: Parcel } {
    try {
      const { done, value } = parcel.threw ? row.running!.throw(parcel.value) : row.running!.next(parcel.value)
      return done === true ? { end: { threw: false, value } } : { request: value as Request }
    } catch (error) {
      if (!(error instanceof Token)) throw error
      return { end: { threw: true, value: error } }
    }
  }

  /** Sends what a row asked for. If no row can take it, the sender gets the error. */
  #send({ to, parcel, args }: Request): Parcel {
    try {
      return this.#route(to, parcel, args)
    } catch (error) {
      if (!(error instanceof Token)) throw error
      return { threw: true, value: error }
    }
  }

  /** Ends the row and sends its result on. */
  #bury(row: Row, end: Parcel): Parcel {
    row.life = 'dead'
    const parcel = pastExit(end)
    return this.#route(row.heir, parcel, parcel.threw ? [] : [parcel.value], true)
  }

  /**
   * Finds the row that can take the payload, and makes it current. Returns the form in which the payload arrives. If a row has
   * to start and cannot, the sender gets an error; if the sender is dead (`passedOn`), the next parent gets it.
   */
  #route(to: Row, parcel: Parcel, args: readonly unknown[], passedOn = false): Parcel {
    for (; ; to = to.parent!) {
      if (to.life === 'unstarted' && to.body === null) {
        parcel = { threw: true, value: new Token('ERR_GREENLET_NO_RUN') }
        if (!passedOn) throw parcel.value
        continue
      }
      if (to.life === 'unstarted' && !parcel.threw) {
        to.life = 'live'
        to.running = this.#live(to, this.#block(to.body!), args)
        parcel = { threw: false, value: undefined }
      }
      if (to.life === 'live') {
        this.#switchTo(to)
        return parcel
      }
      passedOn ||= to.life === 'unstarted'
      to.life = 'dead'
      parcel = pastExit(parcel)
      // From here on it is one value.
      if (!parcel.threw && parcel.value instanceof Token) args = [parcel.value]
    }
  }

  #switchTo(row: Row): void {
    if (row === this.#current) return
    row.resumed++
    this.#current = row
  }

  *#live(me: Row, block: Block, args?: readonly unknown[]): Running {
    if (args !== undefined) {
      me.frames.unshift('body')
      this.#story.tell(me.number, `starts with (${args.map((arg) => this.#story.name(arg)).join(', ')})`)
    }
    try {
      const value = (yield* this.#perform(me, block))?.value
      this.#story.tell(me.number, `returns ${this.#story.name(value)}`)
      return value
    } catch (error) {
      this.#story.tell(me.number, `ends by ${this.#story.name(error)}`)
      throw error
    }
  }

  *#perform(me: Row, block: Block): Generator<Request, Completion | undefined, unknown> {
    for (const instruction of block) {
      this.#takeStock(me)
      const completion = yield* this.#step(me, instruction)
      if (completion !== undefined) return completion
    }
    return undefined
  }

  *#step(me: Row, it: Instruction): Generator<Request, Completion | undefined, unknown> {
    const tell = (what: string): void => this.#story.tell(me.number, what)
    switch (it.op) {
      case 'create':
        if (this.#rows.length === MOST_GREENLETS) break
        this.#rows.push(new Row(this.#rows.length, it.parent === null ? me : this.#row(it.parent), it.body))
        break
      case 'switch': {
        const value = it.values.length > 1 ? it.values : it.values[0]
        const got = yield { to: this.#row(it.to), parcel: { threw: false, value }, args: it.values }
        tell(`got ${this.#story.name(got)}`)
        break
      }
      case 'throw': {
        const got = yield { to: this.#row(it.to), parcel: { threw: true, value: this.#token(it.what) }, args: [] }
        tell(`got ${this.#story.name(got)}`)
        break
      }
      case 'kill':
        yield* this.#kill(me, this.#row(it.to))
        tell('killed it')
        break
      case 'reparent':
        this.#reparent(this.#row(it.who), this.#row(it.parent))
        break
      case 'setRun': {
        const row = this.#row(it.who)
        if (row.life !== 'unstarted') throw new Token('ERR_GREENLET_STARTED')
        row.body = it.body
        break
      }
      case 'look': {
        const row = this.#row(it.who)
        const { life, frames, resumed } = row
        const seen = row !== this.#current && life === 'live'
        if (seen) this.#looks.push({ row, resumed })
        const rest = this.#rows.filter((other) => other.life !== 'dead').map((other) => other.number)
        tell(`sees ${life === 'dead'} ${life !== 'unstarted'} [${seen ? frames : ''}] of ${rest}`)
        break
      }
      case 'call':
        me.frames.unshift(it.via)
        try {
          return yield* this.#perform(me, it.block)
        } finally {
          me.frames.shift()
        }
      case 'try':
        return yield* this.#try(me, it)
      case 'return':
        return { value: it.value }
      case 'raise':
        throw this.#token(it.what)
    }
    return undefined
  }

  *#try(me: Row, it: Instruction & { op: 'try' }): Generator<Request, Completion | undefined, unknown> {
    try {
      return yield* this.#perform(me, it.block)
    } catch (error) {
      if (it.catch === null) throw error
      this.#story.tell(me.number, `caught ${this.#story.name(error)}`)
      return yield* this.#perform(me, it.catch)
    } finally {
      const completion = it.finally === null ? undefined : yield* this.#perform(me, it.finally)
      // oxlint-disable-next-line no-unsafe-finally -- the generated programs may do that
      if (completion !== undefined) return completion
    }
  }

  *#kill(me: Row, victim: Row): Generator<Request, void, unknown> {
    if (victim.life === 'dead') return
    if (victim.number === 0) throw new Token('ERR_GREENLET_MAIN')
    if (victim.life === 'unstarted') {
      victim.life = 'dead'
      return
    }
    const exit = this.#token(null)
    if (victim === me) throw exit
    victim.killers.push(me)
    try {
      yield { to: victim, parcel: { threw: true, value: exit }, args: [] }
    } finally {
      const at = victim.killers.lastIndexOf(me)
      if (at !== -1) victim.killers.splice(at, 1)
    }
    // Read again, because other rows have run.
    if ((victim.life as string) !== 'dead') throw new Token('ERR_GREENLET_KILL_REFUSED')
  }

  #reparent(child: Row, parent: Row): void {
    if (child.number === 0) throw new Token('ERR_GREENLET_MAIN')
    for (let ancestor: Row | null = parent; ancestor !== null; ancestor = ancestor.parent) {
      if (ancestor === child) throw new Token('ERR_GREENLET_PARENT_CYCLE')
    }
    child.parent = parent
    child.killers.length = 0
  }

  /** Records the current row, the state and the parent of each row, and which snapshots are still valid. */
  #takeStock(me: Row): void {
    const states = this.#rows.map((row) => {
      const state = row === this.#current ? 'running' : row.life === 'live' ? 'suspended' : row.life
      return `${state}<${row.number === 0 ? '' : row.heir.number}`
    })
    const valid = this.#looks.map(
      ({ row, resumed }) => row !== this.#current && row.life === 'live' && row.resumed === resumed,
    )
    this.#story.tell(me.number, `now ${this.#current.number} ${states.join(' ')} ${valid.map(Number).join('')}`)
  }

  #row(number: number): Row {
    return this.#rows[number % this.#rows.length]!
  }

  #block(body: number): Block {
    const others = this.#program.bodies.slice(1)
    return others[body % others.length]!
  }

  #token(what: Thrown): Token {
    if (what === null) return new Token('ERR_GREENLET_EXIT')
    const known = this.#tokens.get(what) ?? new Token(what)
    this.#tokens.set(what, known)
    return known
  }
}

/** A GreenletExit that has ended a row continues as a value. */
function pastExit(parcel: Parcel): Parcel {
  return parcel.threw && parcel.value.isExit ? { threw: false, value: parcel.value } : parcel
}
