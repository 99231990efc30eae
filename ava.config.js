// Node 24 and newer run our TypeScript by themselves. Older ones need a loader (Node 22 does not know `using`), which takes time in
// every process.

export default {
  extensions: { ts: 'module' },
  files: ['__test__/**/*.spec.ts', 'examples/**/*.spec.ts'],
  nodeArguments: Number.parseInt(process.versions.node) >= 24 ? [] : ['--import=@oxc-node/core/register'],
  // From the last name to the first, so that no slow spec starts last and leaves one core idle.
  sortTestFiles: (a, b) => (a < b ? 1 : -1),
  timeout: '2m',
  workerThreads: false,
}
