// Random JavaScript as trees: ['map', child, child] or a leaf. Every form is an expression with a number as its value, in which
// `x` is a number. S(v) is v and T(v) throws v; both may park the greenlet. Only local state is touched, so the result of a
// program does not depend on how it is interleaved with others.

import fc from 'fast-check'

/** The text of each form, from the texts of its children. */
const FORMS = {
  sum: (a, b) => `${a} + ${b}`,
  twice: (a) => `${a} * 31 + S(x)`,
  float: (a, b) => `(${a} + 0.5) * (${b} - 0.25)`,
  bigint: (a, b) => `Number((BigInt(${a}) * 7n + BigInt(${b})) % 1000003n)`,
  text: (a, b) => '`${' + a + '}-${' + b + '}`.length',
  choice: (a, b, c) => `${a} % 2 ? ${b} : ${c}`,
  closure: (a, b) => `((x) => () => x + ${b})(${a})()`,
  counter: (a, b) => `((n) => { const next = () => (n += ${a}); next(); ${b}; return next() })(x)`,
  arguments: (a, b) => `(function () { return arguments[0] + arguments.length + ${a} })(${b}, x)`,
  spread: (a, b) => `Math.max(...[${a}, x, ${b}])`,
  recursion: (a) => `(function deeper(n) { return n === 0 ? ${a} : deeper(n - 1) + 1 })(12)`,
  loop: (a) => `(() => { let s = x; for (let x = 0; x < 3; x++) s = (s * 31 + ${a}) | 0; return s })()`,
  captured: (a) =>
    `(() => { const all = []; for (let x = 0; x < 3; x++) all.push(() => x + ${a}); return all.reduce((s, f) => s + f(), 0) })()`,
  switch: (a, b, c) =>
    `(() => { switch (${a} & 3) { case 0: return ${b}; case ${b} & 3: return 2; default: return ${c} } })()`,
  labels: (a, b) =>
    `(() => { let s = 0; out: for (const x of [1, 2, 3]) { for (;;) { s += ${a}; if (s & 1) continue out; if (s > ${b}) break out; break } } return s })()`,
  // Errors
  caught: (a, b, c) => `(() => { try { T(${a}); return 1 } catch (x) { return x + ${b} } finally { ${c} } })()`,
  finally: (a, b) => `(() => { let s = 0; try { return (s = ${a}) } finally { s += ${b}; if (s & 1) return s } })()`,
  rethrown: (a, b) =>
    `(() => { try { try { [x].map(() => T(${a})) } finally { ${b} } } catch (e) { return e } return 0 })()`,
  error: (a, b) =>
    `(() => { try { throw new RangeError('of ' + ${a}, { cause: ${b} }) } catch (e) { return e.message.length + e.cause } })()`,
  // Callbacks from built-in functions
  map: (a) => `[1, 2, 3].map((x) => ${a}).reduce((p, q) => (p * 31 + q) | 0, 0)`,
  reduce: (a, b) => `[1, 2, 3].reduceRight((p, x) => ((p ^ ${a}) + x) | 0, ${b})`,
  flat: (a, b) => `[x, ${b}].flatMap((x) => [x, ${a}]).join().length`,
  find: (a, b) => `[1, 2, 3, 4].findIndex((x) => ${a} < ${b})`,
  sort: (a) => `+[5, 3, 9, 1].sort((x, y) => (${a}, x - y)).join('')`,
  from: (a) => `Array.from({ length: 3 }, (_, x) => ${a}).at(-1)`,
  typed: (a, b) => `Float64Array.from([x, ${a}, 3], (x) => x + ${b}).reduce((p, q) => p + q)`,
  typedSort: (a) => `new Int16Array([5, 3, 9, 1]).sort((x, y) => (${a}, y - x))[1]`,
  view: (a, b) => `new DataView(Int32Array.of(${a}, ${b}).buffer).getInt16(1)`,
  each: (a, b) => `(() => { let s = 0; new Map([[1, ${a}], [2, x]]).forEach((x) => { s += ${b} }); return s })()`,
  replace: (a) => `'a1b2'.replace(/\\d/g, (x) => S(+x) + ${a}).length`,
  sticky: (a, b) => `((r) => { r.lastIndex = ${a} & 3; ${b}; return r.test('xxxx') + r.lastIndex })(/x/y)`,
  groups: (a, b) => '/(?<p>\\d+):(?<q>\\d+)/.exec(`${' + a + ' >>> 1}:${' + b + ' >>> 1}`).groups.q.length',
  split: (a) => `'a,b'.split({ [Symbol.split]: (text) => [text, ${a}] })[1]`,
  reviver: (a) =>
    `JSON.stringify(JSON.parse('{"a":[1,2],"b":3}', (k, x) => (typeof x === 'number' ? ${a} : x))).length`,
  toJSON: (a, b) => `+JSON.stringify({ p: { toJSON: () => ${a} }, q: [{ toJSON: () => ${b} }] }).match(/-?\\d+/)[0]`,
  replacer: (a) => `JSON.stringify({ p: 1, q: [x] }, (k, x) => (typeof x === 'number' ? ${a} : x)).length`,
  // Code that the engine calls implicitly
  getter: (a, b) => `((o) => o.p + o.q)({ get p() { return ${a} }, q: ${b} })`,
  setter: (a, b) => `((o) => (o.p = ${a}, o.x))({ x, set p(x) { this.x = ${b} } })`,
  primitive: (a, b) => `+{ [Symbol.toPrimitive]: () => ${a} } + { valueOf: () => ${b} }`,
  key: (a) => `({ 7: x, p: 2 })[{ toString: () => (${a}, 'p') }]`,
  proxy: (a, b) => `((p) => p.q + ('r' in p))(new Proxy({}, { get: () => ${a}, has: () => ${b} & 1 }))`,
  traps: (a, b) =>
    `new (new Proxy(class { constructor(x) { this.x = x } }, { construct: (c, args) => new c(args[0] + ${a}) }))(${b}).x`,
  keys: (a) => `Object.keys(new Proxy({ p: 1, q: 2 }, { ownKeys: (o) => (${a}, ['q', 'p']) })).length + x`,
  instance: (a) => `(x instanceof class { static [Symbol.hasInstance]() { return ${a} & 1 } }) + 1`,
  destructured: (a, b) => `(({ p = ${a}, ...r }, [q = ${b}] = []) => p + q + r.x)({ x })`,
  tag: (a, b) => '((s, p, q) => p + q + s.length)`${' + a + '} and ${' + b + '}`',
  class: (a, b) =>
    `((o) => o.p + o.q)(new (class extends (class { constructor() { this.p = ${a} } }) { q = ${b}; static { S(1) } })())`,
  private: (a, b) => `new (class { #p = ${a}; get p() { return this.#p + ${b} } })().p`,
  bound: (a, b) => `function (x) { return this.p + ${a} }.bind({ p: x }, ${b})()`,
  reflect: (a, b) => `Reflect.apply((x, y) => x + y + ${a}, undefined, [${b}, x])`,
  evaluated: (a) => `eval(${JSON.stringify(a)})`,
  // Iteration
  generator: (a, b, c) =>
    `[...(function* () { yield ${a}; try { yield* [${b}, x] } finally { ${c} } })()].reduce((p, q) => (p * 7 + q) | 0)`,
  abandoned: (a, b) =>
    `(() => { let s = 0; for (const y of (function* () { try { for (;;) yield ${a} } finally { s += ${b} } })()) { s += y; break } return s })()`,
  sent: (a, b) => `((g) => (g.next(), g.next(${a}).value))((function* () { const x = yield; yield x + ${b} })())`,
  iterator: (a, b) =>
    `(() => { let n = 0; const it = { [Symbol.iterator]: () => it, next: () => ({ done: n++ > 1, value: ${a} }), return: () => (${b}, {}) }; const [y, z] = it; return y + z })()`,
  // Arrays that change while they are iterated
  shifted: (a) =>
    `((l) => { let s = 0; for (let i = 0; i < 4; i++) { s += ${a} + l[0]; l.shift() } return s + l.length })(Array.from({ length: 40 }, (_, i) => i))`,
  spliced: (a, b) => `((l) => { l.splice(1, ${a} & 3, ${b}, x); return l.length + l.at(-1) })([1, 2, 3, 4])`,
  grown: (a) =>
    `(() => { const l = [1, 2]; l.forEach((x) => { if (l.length < 5) l.push(${a}) }); return l.join('').length })()`,
  concat: (a, b) =>
    `((l) => [${a}].concat(l, { length: 1, 0: ${b}, [Symbol.isConcatSpreadable]: true }).length + l[0])([x, 2])`,
  // Frames of another engine, and the part of an async function before its first await. The rest runs on main.
  wasm: (a) => `W(() => ${a})`,
  async: (a, b) => `P((async (x) => { x += ${a}; await null; try { T(x) } catch (x) { return x + ${b} } })(x)), x`,
  store: (a, b) => `L.run(${a}, () => ${b} + L.getStore())`,
  promise: (a) => `P(new Promise((resolve) => resolve(${a}))), 1`,
}

const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    // Smaller cases use the first one.
    { maxDepth: 6, depthSize: 'large', withCrossShrink: true },
    { weight: 3, arbitrary: fc.integer({ min: -9, max: 99 }) },
    { weight: 3, arbitrary: fc.constant('x') },
    { weight: 12, arbitrary: fc.tuple(fc.constant('S'), tie('tree')) },
    ...Object.entries(FORMS).map(([name, form]) => ({
      weight: 1,
      arbitrary: fc.tuple(fc.constant(name), ...Array.from({ length: form.length }, () => tie('tree'))),
    })),
  ),
}))
export { tree }

/** The text of an expression. */
export function textOf(node) {
  if (!Array.isArray(node)) return `${node}`
  const [name, ...children] = node
  const texts = children.map(textOf)
  return name === 'S' ? `S(${texts[0]})` : `((${FORMS[name](...texts)}) | 0)`
}

/** Smaller expressions: the parts of this one, and this one with one part made smaller. */
export function* smaller(node) {
  if (!Array.isArray(node)) return
  const [name, ...children] = node
  yield* children
  for (const [i, child] of children.entries()) {
    for (const other of smaller(child)) yield [name, ...children.with(i, other)]
  }
}
