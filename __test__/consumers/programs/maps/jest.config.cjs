// The variable TRANSFORM chooses the transformer.

const name = process.env.TRANSFORM
const options = {
  'ts-jest': { diagnostics: false },
  '@swc/jest': { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } },
}

module.exports = {
  rootDir: __dirname,
  testMatch: ['<rootDir>/where.jest.ts'],
  transform: { '\\.ts$': [name, options[name]] },
}
