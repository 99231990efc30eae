// Runs Node's own core tests with the program and all its callbacks inside greenlets (`__test__/everywhere/preload.cjs`). A test that
// passes without greenlets must pass with them. "Without" is the same program with the same wrappers, but each wrapper enters an
// AsyncResource instead, because a greenlet is one. So it also shows which tests count resources, fail because of the wrappers, or
// fail on this machine or with another patch level of Node.
//
//   in greenlets ──passes──► passed
//        └─fails─► without ──fails──► proves nothing: fails because of the wrappers, or also without them
//                     └─passes─► in greenlets, alone, twice more ──passes once──► passed, but not reliably
//                                        └─fails─► failed
//
// `NODE_SUITE=26:parallel/test-fs NODE_SUITE_FLAGS=--stress-compaction make test STAGES=node-suite` runs some of it.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { nodeTests } from '../node-tests.ts'
import { type Outcome, run, twoAtOnce } from '../run.ts'
import { sum, type Tally, told } from '../tally.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const PRELOAD = join(ROOT, '__test__/everywhere/preload.cjs')
/** Flags for programs that run without the permission to read files and to load addons. */
const PERMISSIONS = [
  '--allow-addons',
  ...['dist/*', 'js/*', '__test__/*', 'package.json'].map((path) => `--allow-fs-read=${join(ROOT, path)}`),
]
/** Why a test of domains cannot pass: a greenlet's domains are its own, so main is not in them (`js/core/domains.ts`). */
const ENDS_ON_MAIN =
  'an error leaves a domain and the greenlet that entered it, so it is uncaught on main, in no domain'
/** Tests that cannot pass. Async hooks see an `after` and a `before` of a greenlet each time it is suspended and resumed. */
const CANNOT_PASS: Readonly<Record<string, string>> = {
  'async-hooks/test-ttywrap.readstream.js':
    'takes every `after` of a resource that is older than its hook for an error; the main module is in one',
  'parallel/test-crypto-domain.js': ENDS_ON_MAIN,
  'parallel/test-domain-bind-timeout.js': ENDS_ON_MAIN,
  'parallel/test-domain-http-server.js': ENDS_ON_MAIN,
  'parallel/test-domain-nested.js': ENDS_ON_MAIN,
  'parallel/test-domain-stack.js': ENDS_ON_MAIN,
  'parallel/test-domain-stack-empty-in-process-uncaughtexception.js':
    'is in no domain once process has left all of them, but each `before` of a resource enters the domain that it was made in',
  'parallel/test-domain-top-level-error-handler-clears-stack.js': ENDS_ON_MAIN,
  'parallel/test-domain-uncaught-exception.js': ENDS_ON_MAIN,
  'parallel/test-eventemitter-asyncresource.js': 'counts `before` and `after`',
  'parallel/test-timers-reset-process-domain-on-throw.js': ENDS_ON_MAIN,
}
/** The folders of Node's `test/` in which each program runs without a build and ends with exit code 0 if it passed. */
const FOLDERS = [
  'async-hooks',
  'client-proxy',
  'es-module',
  'module-hooks',
  'parallel',
  'report',
  'sequential',
  'sqlite',
  'wasm-allocation',
]
const SECONDS = 120
/** Suspended greenlets beside the program's: enough that full collections leave out stacks. */
const PARKED = 100

/** Values of `EVERYWHERE` for the preload: in greenlets, or without them. `plain` is no preload at all. */
type Kind = 'greenlets' | 'resources' | 'plain'
type Verdict = 'passed' | 'unreliable' | 'minds wrappers' | 'never passes' | 'failed'

export async function nodeSuite(): Promise<Tally> {
  const [, majors = '', names = ''] = /^(?:([\d,]+):)?(.*)$/.exec(process.env['NODE_SUITE'] ?? '')!
  const nodes = testedNodes().filter(({ major }) => majors === '' || majors.split(',').includes(String(major)))
  const tallies: Tally[] = []
  for (const node of nodes) tallies.push(await suiteOf(node, new RegExp(names)))
  return sum(tallies)
}

async function suiteOf(node: Node, names: RegExp): Promise<Tally> {
  const suite = new Suite(node)
  const tests = suite.tests().filter((test) => names.test(test))
  const verdicts = new Map<string, Verdict>()
  const suspects: string[] = []
  await twoAtOnce(tests, async (test) => {
    if (await suite.passes(test, 'greenlets')) verdicts.set(test, 'passed')
    else if (await suite.passes(test, 'resources')) suspects.push(test)
    else verdicts.set(test, (await suite.passes(test, 'plain')) ? 'minds wrappers' : 'never passes')
  })
  for (const test of suspects) verdicts.set(test, await judge(suite, test))

  const of = (wanted: Verdict) => tests.filter((test) => verdicts.get(test) === wanted)
  const [unreliable, minding, failed] = [of('unreliable'), of('minds wrappers'), of('failed')]
  const passed = of('passed').length + unreliable.length
  const never = of('never passes').length
  console.log(
    `  node ${node.version}: ${tests.length} tests; ${never} do not pass here, ${minding.length} mind the wrappers; ` +
      `of the others ${passed} pass in greenlets and ${failed.length} do not`,
  )
  if (unreliable.length > 0) console.log(`  not every time: ${unreliable.join(' ')}`)
  if (process.env['NODE_SUITE_TELL'] !== undefined) console.log(`  mind the wrappers: ${minding.join(' ')}`)
  return { passed, failed: failed.length }
}

/** Judges a test that failed in greenlets and passed without them, while nothing else runs. */
async function judge(suite: Suite, test: string): Promise<Verdict> {
  if (await suite.passes(test, 'greenlets')) return 'unreliable'
  const outcome = await suite.run(test, 'greenlets')
  if (outcome.end === 0) return 'unreliable'
  console.log(`  node ${suite.node.version} ${test} only passes without greenlets:\n${told(outcome)}`)
  return 'failed'
}

class Suite {
  readonly node: Node
  readonly #home: string
  /** Each running test has a number, by which it chooses its ports and its temporary directory. */
  readonly #places = [1, 2]

  constructor(node: Node) {
    this.node = node
    this.#home = join(nodeTests(node.major), 'test')
  }

  tests(): string[] {
    return FOLDERS.filter((folder) => existsSync(join(this.#home, folder))).flatMap((folder) =>
      readdirSync(join(this.#home, folder))
        .filter((name) => /^test-.*\.m?js$/.test(name))
        .map((name) => `${folder}/${name}`)
        .filter((test) => CANNOT_PASS[test] === undefined),
    )
  }

  async passes(test: string, kind: Kind): Promise<boolean> {
    return (await this.run(test, kind)).end === 0
  }

  async run(test: string, kind: Kind): Promise<Outcome> {
    const file = join(this.#home, test)
    const source = readFileSync(file, 'utf8')
    const wanted = (what: string) => new RegExp(`^// ${what}:(.*)$`, 'm').exec(source)?.[1]?.trim().split(/\s+/) ?? []
    const flags = [...(process.env['NODE_SUITE_FLAGS']?.split(' ') ?? []), ...wanted('Flags')]
    if (flags.some((flag) => /^--(experimental-)?permission$/.test(flag))) flags.push(...PERMISSIONS)
    const place = this.#places.pop()!
    const env = {
      ...process.env,
      ...Object.fromEntries(wanted('Env').map((pair) => pair.split('=', 2))),
      TEST_THREAD_ID: String(place),
      EVERYWHERE: kind,
      EVERYWHERE_PARKED: String(PARKED),
    }
    const preload = kind === 'plain' ? [] : [`--require=${PRELOAD}`]
    try {
      return await run(this.node.bin, [...flags, ...preload, file], {
        cwd: join(this.#home, '..'),
        env,
        limit: SECONDS,
        // As Node's own runner does it: some tests count what a pipe does.
        through: join(this.#home, `../output-${place}`),
      })
    } finally {
      this.#places.push(place)
    }
  }
}
