import test from 'ava'
import { type Ending, printed, runProgram } from './helpers/program.ts'

/** A macro: the code overflows the stack inside a greenlet, which catches a RangeError, still works, and overflows again. */
const overflows = test.macro(async (t, code: string) => {
  const {
    code: exit,
    signal,
    stdout,
    stderr,
  }: Ending = await runProgram(`
    const overflow = () => { ${code} }
    const g = new Greenlet(() => {
      for (;;) {
        try {
          overflow()
          main.switch('no overflow')
        } catch (error) {
          main.switch(error instanceof RangeError && error.message === 'Maximum call stack size exceeded')
        }
      }
    })
    const results = []
    for (let i = 0; i < 5; i++) {
      results.push(g.switch())
      // Other greenlets work, and main's own stack is as deep as before.
      results.push(new Greenlet((x) => x).switch(i))
    }
    try { overflow() } catch (error) { results.push(error instanceof RangeError) }
    g.kill()
    console.log(JSON.stringify(results))
  `)
  t.deepEqual(
    { exit, signal, stdout, stderr },
    { exit: 0, signal: null, stdout: '[true,0,true,1,true,2,true,3,true,4,true]\n', stderr: '' },
  )
})

test('endless recursion', overflows, '(function again() { again() })()')
test('endless recursion through a built-in function', overflows, '(function again() { [1].map(again) })()')
test('endless recursion of a getter', overflows, 'const o = { get x() { return this.x } }; o.x')
test('endless recursion of toString', overflows, 'const o = { toString: () => `${o}` }; String(o)')
test('endless recursion of a constructor', overflows, 'class A { constructor() { new A() } } new A()')
test('endless recursion of a comparator', overflows, '(function again() { [2, 1].sort(again) })()')
test('endless recursion of a Proxy', overflows, 'const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x')
test(
  'JSON.stringify of a deep object with toJSON',
  overflows,
  'const o = { toJSON: () => JSON.stringify(o) }; JSON.stringify(o)',
)

/** A macro: the expression has the same result in a greenlet as on main, a value or an error, several times. */
const asOnMain = test.macro(async (t, expression: string) => {
  const { code, signal, stdout, stderr } = await runProgram(`
    const attempt = () => { try { return ${expression} } catch (error) { return error.name } }
    const expected = attempt()
    for (let i = 0; i < 3; i++) console.log(new Greenlet(attempt).switch() === expected)
  `)
  t.deepEqual({ code, signal, stdout, stderr }, printed('true\n'.repeat(3)))
})

const DEEP = '(() => { let a = []; for (let i = 0; i < 100_000; i++) a = [a]; return a })()'
// Node.js 26 needs no stack for this. The others throw a RangeError.
test('JSON.stringify of a deep array', asOnMain, `JSON.stringify(${DEEP}).length`)
test('JSON.parse of a deep array', asOnMain, "typeof JSON.parse('['.repeat(100_000) + ']'.repeat(100_000))")
test('structuredClone of a deep array', asOnMain, `typeof structuredClone(${DEEP})`)
test('a deep regular expression', asOnMain, "new RegExp('('.repeat(200_000) + ')'.repeat(200_000)).test('x')")
test('a deep expression', asOnMain, "typeof eval('('.repeat(100_000) + '1' + ')'.repeat(100_000))")

test('an uncaught overflow in a greenlet is thrown in its parent', async (t) => {
  const { code, stdout } = await runProgram(`
    const g = new Greenlet(function again() { again() })
    try { g.switch() } catch (error) { console.log(error.name, g.dead) }
    const nested = new Greenlet(() => new Greenlet(function again() { again() }).switch())
    try { nested.switch() } catch (error) { console.log(error.name, nested.dead) }
  `)
  t.deepEqual({ code, stdout }, { code: 0, stdout: 'RangeError true\nRangeError true\n' })
})

test('greenlets can start greenlets near the end of their stack', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    let made = 0
    const dive = () => {
      try {
        dive()
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        // Some frames further out there is stack space again.
        try { made += new Greenlet(() => 1).switch() } catch (inner) { if (!(inner instanceof RangeError)) throw inner }
        if (made < 20) throw error
      }
    }
    new Greenlet(dive).switch()
    console.log(made)
  `)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '20\n', stderr: '' })
})

test('a greenlet has about as much stack as main', async (t) => {
  const { stdout } = await runProgram(`
    const depth = () => { let n = 0; const dive = () => { n++; dive() }; try { dive() } catch {} return n }
    depth()
    const [inMain, inGreenlet] = [depth(), new Greenlet(depth).switch()]
    console.log(inGreenlet > 0.7 * inMain, inGreenlet < 1.5 * inMain)
  `)
  t.is(stdout, 'true true\n')
})
