// A native add-on that holds one thing for the whole thread, as koffi holds its stack: the call that took it last must give it
// back first. If another call does that, the process ends.

#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local int depth;

static napi_value last_first(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value fn, undefined, result = NULL;
  napi_get_cb_info(env, info, &count, &fn, NULL, NULL);
  napi_get_undefined(env, &undefined);
  int own = ++depth;
  napi_call_function(env, undefined, fn, 0, NULL, &result);
  if (depth != own) {
    fprintf(stderr, "call %d returns before call %d\n", own, depth);
    abort();
  }
  depth--;
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "lastFirst", NAPI_AUTO_LENGTH, last_first, NULL, &function);
  napi_set_named_property(env, exports, "lastFirst", function);
  return exports;
}
