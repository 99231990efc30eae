// The addon is missing.

process.env.NAPI_RS_NATIVE_LIBRARY_PATH = '/nowhere/greenlets.node'
const { Greenlet } = await import('../../js/index.ts')
new Greenlet(() => {})
