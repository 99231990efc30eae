'use strict'

module.exports = require('greenlets/fibers').Fiber
