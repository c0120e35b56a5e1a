/// Signs users in at authserver, keeps their tokens fresh, and calls APIs and WebSockets with them.
library;

export 'src/api_client.dart';
export 'src/auth_interceptor.dart';
export 'src/auth_service.dart';
export 'src/exceptions.dart' hide exceptionFrom, jsonObject;
export 'src/tokens.dart' hide renewalDelay;
export 'src/web_socket_service.dart';
