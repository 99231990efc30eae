// The variable TRANSFORM chooses the transformer.

const TESTS = {
  none: ['first', 'second'],
  'ts-jest': ['typed'],
  'babel-jest': ['first', 'second'],
  '@swc/jest': ['typed', 'second'],
}
const name = process.env.TRANSFORM
const options = {
  'babel-jest': { presets: [['@babel/preset-env', { targets: { node: 20 } }]] },
  '@swc/jest': { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } },
}

module.exports = {
  rootDir: __dirname,
  testMatch: TESTS[name].map((test) => `<rootDir>/${test}.test.*`),
  transform: name === 'none' ? {} : { '\\.[jt]s$': [name, options[name] ?? {}] },
  // The package too: what users write who have made an ES module of it loadable.
  ...(name === 'none' || name === 'ts-jest' ? {} : { transformIgnorePatterns: ['/node_modules/(?!greenlets)'] }),
}
