// Frames tell the positions in the sources: `original` by the map of the script, and the text where errors have them too.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runInThisContext } from 'node:vm'
import test from 'ava'
import { Greenlet } from '../js/index.ts'
import { cachedMaps, MOST_MAPS } from '../js/stack/source-maps.ts'
import { runProgram } from './helpers/program.ts'
import { inner } from './helpers/seed.ts'

const folder = mkdtempSync(join(tmpdir(), 'greenlets-maps-'))
test.after.always(() => rmSync(folder, { recursive: true }))

/** A number as source maps have it. */
function vlq(value: number): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  let [rest, text] = [value < 0 ? (-value << 1) | 1 : value << 1, '']
  for (; rest > 31; rest >>= 5) text += digits[32 | (rest & 31)]
  return text + digits[rest]
}

/** A map that leads from the third line on to line 41, column 6 of a source. */
function mapTo(source: string, more: object = {}): object {
  return { version: 3, sources: [source], names: [], mappings: `;;AA${vlq(40)}${vlq(5)}`, ...more }
}

function inline(map: object): string {
  return `data:application/json;charset=utf-8;base64,${Buffer.from(JSON.stringify(map)).toString('base64')}`
}

let files = 0

/** A greenlet that is suspended below `compiled`, a function of a script that names this map. */
function parkedIn(url: string | undefined, { change = false, esm = false, name = `script-${files++}.js` } = {}) {
  const path = join(folder, name)
  const comment = url === undefined ? '' : `\n//# sourceMappingURL=${url}`
  const text = `// compiled\n\n(function compiled(stop) { return stop() })${comment}\n`
  writeFileSync(path, text)
  const filename = esm ? pathToFileURL(path).href : path
  const compiled = runInThisContext(text, { filename }) as (stop: () => unknown) => unknown
  if (change) writeFileSync(path, `// changed\n${text}`)
  const g = new Greenlet(() => compiled(() => inner('parked')))
  g.switch()
  return { g, path, frame: g.gr_stack.find(({ functionName }) => functionName === 'compiled')! }
}

function write(name: string, map: object | string): string {
  writeFileSync(join(folder, name), typeof map === 'string' ? map : JSON.stringify(map))
  return name
}

const found = { lineNumber: 41, columnNumber: 6, functionName: 'compiled' }
const sections = [
  { offset: { line: 0, column: 0 }, map: { ...mapTo('other.ts'), mappings: 'AAAA' } },
  { offset: { line: 2, column: 0 }, map: { ...mapTo('a.ts'), mappings: `AA${vlq(40)}${vlq(5)}` } },
]
for (const [what, url, source] of [
  ['inline', () => inline(mapTo('a.ts')), 'a.ts'],
  ['inline as text', () => `data:application/json,${encodeURIComponent(JSON.stringify(mapTo('a.ts')))}`, 'a.ts'],
  ['in a file', () => write('a.js.map', mapTo('src/a.ts')), 'src/a.ts'],
  [
    'in a file that begins as JSON that no page can run',
    () => write('b.map', `)]}'\n${JSON.stringify(mapTo('a.ts'))}`),
    'a.ts',
  ],
  ['with a root of the sources', () => inline(mapTo('a.ts', { sourceRoot: 'root/' })), 'root/a.ts'],
  ['indexed', () => inline({ version: 3, sections }), 'a.ts'],
] as const) {
  test(`original is the position in the source: a map ${what}`, (t) => {
    const { g, frame, path } = parkedIn(url())
    t.deepEqual(frame.original, { fileName: join(folder, source), ...found })
    t.is(frame.mapProblem, null)
    const copy = frame.detach()
    // Node.js does not use the map here, so no error would.
    t.is(String(frame), `compiled (${path}:3:35)`)
    g.kill()
    t.deepEqual(copy.original, { fileName: join(folder, source), ...found })
    t.is(String(copy), `compiled (${path}:3:35)`)
  })
}

test('original of an ES module has a URL', (t) => {
  const { g, frame } = parkedIn(inline(mapTo('a b.ts')), { esm: true })
  t.deepEqual(frame.original, { fileName: pathToFileURL(join(folder, 'a b.ts')).href, ...found })
  g.kill()
})

for (const [what, url, problem, options] of [
  ['missing', () => 'missing.map', /^the source map of .*script-\d+\.js cannot be read: ENOENT.*missing\.map/],
  ['no JSON', () => write('no-json.map', '{ "version": 3,'), /^the source map of .* is broken: /],
  ['without mappings', () => write('none.map', { version: 3 }), /is broken: it has no mappings or no sources$/],
  ['null', () => write('null.map', 'null'), /is broken: it is no object$/],
  [
    'with wrong mappings',
    () => inline({ ...mapTo('a.ts'), mappings: ';;AA!' }),
    /is broken: .* a wrong character at 4$/,
  ],
  [
    'with wrong sections',
    () => inline({ version: 3, sections: [{}] }),
    /is broken: the offset of a section is no object$/,
  ],
  ['on a server', () => 'https://example.com/a.map', /it is at https:.*, and nothing is read from a network$/],
  ['of no data', () => 'data:application/json', /the data: URL has no data$/],
  ['in a folder', () => '.', /cannot be read: .* is not a file$/],
  ['in a device without an end', () => '/dev/zero', /cannot be read: .* is not a file$/],
  ['of other places', () => inline({ ...mapTo('a.ts'), mappings: ';;;;AAAA' }), /has nothing for line 3, column 35$/],
  ['of an older text', () => inline(mapTo('a.ts')), /is not the text that runs: it has changed/, { change: true }],
] as const) {
  test(`a map that cannot be used is a reason, and the position is the script's: a map ${what}`, (t) => {
    const { g, frame, path } = parkedIn(url(), options)
    t.is(frame.original, null)
    t.regex(frame.mapProblem!, problem)
    t.is(String(frame), `compiled (${path}:3:35)`)
    t.is(frame.detach().mapProblem, frame.mapProblem)
    g.kill()
  })
}

/** A segment of mappings, which has differences to the one before. */
const segment = (...numbers: number[]): string => numbers.map(vlq).join('')
/** The function of the script begins in column 19. */
const named = `;;${segment(0, 0, 40, 5, 0)},${segment(34, 0, 0, 0, 0)};`

for (const [what, more, problem] of [
  [
    'a name that is an object',
    { mappings: named, names: [{}] },
    /has a name that is no text, but an instance of Object$/,
  ],
  ['a name that is a number', { mappings: named, names: [7] }, /has a name that is no text, but the number 7$/],
  ['names that are a text', { names: 'ab' }, /is broken: its names are no list$/],
  [
    'a line below 1',
    { mappings: `;;${segment(0, 0, -2, 0)}` },
    /has a wrong line of the source, the number -1, for line 3/,
  ],
  [
    'a column below 1',
    { mappings: `;;${segment(0, 0, 0, -1)}` },
    /has a wrong column of the source, the number 0, for/,
  ],
  ['a source that is null', { sources: [null] }, /has no source for line 3, column 35$/],
  ['a source that is an object', { sources: [{ toString: 1 }] }, /has no source for line 3, column 35$/],
  ['a source that is missing', { sources: [] }, /has no source for line 3, column 35$/],
  ['sources that are an object', { sources: {} }, /is broken: its sources are no list$/],
  ['a source on another machine', { sources: ['file://other/a.ts'] }, /cannot be used: /],
  ['a root that is a number', { sourceRoot: 7 }, /is broken: its sourceRoot is no text$/],
  [
    'a segment of two numbers',
    { mappings: ';;AA,CAAA' },
    /is broken: its mappings have a segment of 2 numbers before 4$/,
  ],
  ['an empty segment', { mappings: ';;AAAA,' }, /is broken: its mappings have a segment of 0 numbers before 7$/],
  ['a number without an end', { mappings: ';;AAAg' }, /is broken: its mappings have a number without an end at 6$/],
  [
    'a number that is too large',
    { mappings: ';;gggggggA' },
    /is broken: its mappings have a number that is too large at 8$/,
  ],
  ['no source for the last segment', { mappings: ';;AAAA,A' }, /has nothing for line 3, column 35$/],
  ['sections that are an object', { sections: {} }, /is broken: its sections are no list$/],
  [
    'a section at a line that is a text',
    { sections: [{ offset: { line: '2', column: 0 }, map: mapTo('a.ts') }] },
    /is broken: the offset of a section has no line or no column$/,
  ],
] as const) {
  test(`a broken map is a reason, and no wrong position: ${what}`, (t) => {
    const { g, frame } = parkedIn(inline(mapTo('a.ts', more)))
    t.is(frame.original, null)
    t.regex(frame.mapProblem!, problem)
    g.kill()
  })
}

test('the names of a map are those of the segments that have one', (t) => {
  const nameIn = (mappings: string, names: unknown): string | null => {
    const { g, frame } = parkedIn(inline(mapTo('a.ts', { mappings, names })))
    t.is(frame.mapProblem, null)
    const { functionName } = frame.original!
    g.kill()
    return functionName
  }
  t.is(nameIn(named, ['source']), 'source')
  // A last segment without a name is not that of the segment before.
  t.is(nameIn(`${segment(0, 0, 0, 0, 0)};;${segment(0, 0, 0, 0)}`, ['wrong']), 'compiled')
  for (const names of [undefined, null, [], [null], ['']]) t.is(nameIn(named, names), 'compiled')
})

test('a script without a map, a built-in function and evaluated code have no original and no problem', (t) => {
  const { g, frame } = parkedIn(undefined)
  t.deepEqual([frame.original, frame.mapProblem], [null, null])
  g.kill()
  const other = new Greenlet(() => {
    // oxlint-disable-next-line no-eval -- this is what the test is about; indirect eval does not see this scope
    ;(0, eval)('(stop) => [1].map(stop)')(() => inner('parked'))
  })
  other.switch()
  const frames = other.gr_stack.filter(({ fileName }) => fileName === null)
  t.is(frames.length, 2)
  for (const { original, mapProblem } of frames) t.deepEqual([original, mapProblem], [null, null])
  other.kill()
})

test('a bounded number of maps is kept', (t) => {
  for (let i = 0; i < MOST_MAPS + 20; i++) {
    const { g, frame } = parkedIn(inline(mapTo(`${i}.ts`)))
    t.is(frame.original!.fileName, join(folder, `${i}.ts`))
    g.kill()
  }
  t.is(cachedMaps(), MOST_MAPS)
})

test('the text of a stack has the places that the stack of an error has in this process', (t) => {
  let text = ''
  const g = new Greenlet(function start(): unknown {
    return [1].map(function each(): unknown {
      return inner(((text = new Error('here').stack!), 1))
    })
  })
  g.switch()
  const lines = String(g.gr_stack).split('\n').slice(1)
  const place = (line: string): string => line.replace(/:\d+\)$/, '')
  t.is(place(lines[0]!), place(text.split('\n')[1]!))
  t.deepEqual(lines.slice(1), text.split('\n').slice(2, 4))
  t.deepEqual(String(g.gr_stack.detach()).split('\n').slice(1), lines)
  g.kill()
})

test("a program's Error.prepareStackTrace places the frames, and cannot break the text", async (t) => {
  const { stdout, stderr } = await runProgram(`
    const g = new Greenlet(function job() { [1].map(() => main.switch()) })
    g.switch()
    const raw = String(g.gr_stack)
    const copy = g.gr_stack.detach()
    const asked = []
    const see = (hook) => { Error.prepareStackTrace = hook; const text = String(g.gr_stack); console.log(text === raw ? 'raw' : text.replace(/source.ts:[1-9]\\d+/g, 'source.ts:N'), String(copy) === text) }
    see((error, sites) => { asked.push(sites.length); return 'Error' + sites.map((s) => '\\n    at ' + s.getFunctionName() + ' (source.ts:' + (s.getLineNumber() + 100) + ':1)').join('') })
    const { original } = g.gr_stack[2]
    console.log(asked.join(), original.lineNumber - g.gr_stack[2].lineNumber, original.functionName, copy[2].original.fileName)
    see(() => { throw new Error('a hook that throws') })
    const thrown = g.gr_stack.toError('x')
    console.log(thrown.stack === 'Error: x\\n' + raw, Object.keys(thrown).length)
    see(() => 'one line')
    see((error, sites) => sites)
    see(() => String(g.gr_stack))
    see((error, sites) => 'Error' + sites.slice(0, 1).map(() => '\\n    at first (first.ts:1:1)').join(''))
    Error.prepareStackTrace = () => 'Error\\n    at job (source.ts:0:1)'
    console.log(g.gr_stack[2].original, g.gr_stack[2].mapProblem)
    see(undefined)
    see(null)
    console.log(g.gr_stack.toError('x').stack === 'Error: x\\n' + raw)
    Object.defineProperty(Error, 'prepareStackTrace', { get() { throw new Error('a getter') } })
    console.log(String(g.gr_stack) === raw, g.gr_stack[2].original, g.gr_stack.map((f) => f.functionName).join())
  `)
  t.is(stderr, '')
  t.is(
    stdout,
    `    at null (source.ts:N:1)
    at map (source.ts:N:1)
    at job (source.ts:N:1) true
3,3,1 100 job source.ts
raw true
true 0
raw true
raw true
raw true
    at first (first.ts:1:1)
    at first (first.ts:1:1)
    at first (first.ts:1:1) true
null null
raw true
raw true
true
true null ,map,job
`,
  )
})

test('a stack says the positions in the sources with --enable-source-maps, and reads nothing before it is asked for', async (t) => {
  const map = inline(mapTo('a.ts'))
  const wrong = inline(mapTo('a.ts', { mappings: segment(0, 0, -2, 0) }))
  const program = `
    import fs from 'node:fs'
    import module from 'node:module'
    const file = ${JSON.stringify(join(folder, 'enabled.cjs'))}
    fs.writeFileSync(file, ${JSON.stringify(`// compiled\n\nmodule.exports = function compiled(stop) { return stop() }\n//# sourceMappingURL=${map}\n`)})
    const script = new module.Module(file)
    // Not by require(), where a loader would compile it again.
    script._compile(fs.readFileSync(file, 'utf8'), file)
    const compiled = script.exports
    let error
    const g = new Greenlet(() => compiled(() => { error = new Error('here'); return main.switch() }))
    g.switch()
    const reads = []
    for (const name of ['readFileSync', 'openSync', 'statSync']) { const real = fs[name]; fs[name] = (...args) => { reads.push(name); return real(...args) } }
    module.syncBuiltinESMExports()
    const copy = g.gr_stack.detach()
    JSON.stringify(g.gr_stack)
    const frame = g.gr_stack.find((f) => f.functionName === 'compiled')
    const raw = [frame.fileName === file, frame.lineNumber, frame.columnNumber]
    console.log(reads.length, ...raw)
    console.log(String(g.gr_stack).split('\\n')[1] === error.stack.split('\\n')[2])
    console.log(String(frame).replace(/.*greenlets-maps-\\w+./, ''), frame.original.lineNumber, String(copy) === String(g.gr_stack))
    const broken = file.replace('enabled', 'broken')
    fs.writeFileSync(broken, ${JSON.stringify(`module.exports = function broken(stop) { return stop() }\n//# sourceMappingURL=${wrong}\n`)})
    const other = new module.Module(broken)
    other._compile(fs.readFileSync(broken, 'utf8'), broken)
    const h = new Greenlet(() => other.exports(() => main.switch()))
    h.switch()
    const { original, mapProblem } = h.gr_stack.find((f) => f.functionName === 'broken')
    console.log(original, mapProblem.replace(/^.*broken.cjs /, ''))
    Error.prepareStackTrace = undefined
    console.log(String(frame).replace(/.*greenlets-maps-\\w+./, ''))
  `
  const imports = program.replaceAll(/^ +import (.*) from '(.*)'/gm, "const { default: $1 } = await import('$2')")
  const { stdout, stderr } = await runProgram(imports, { flags: ['--enable-source-maps'] })
  t.is(stderr, '')
  t.is(
    stdout,
    '0 true 3 51\ntrue\na.ts:41:6) 41 true\nnull has a wrong line of the source, the number -1, for line 1, column 49\na.ts:41:6)\n',
  )
})
