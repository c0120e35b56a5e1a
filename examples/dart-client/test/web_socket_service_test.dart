import 'dart:convert';
import 'dart:io';

import 'package:authserver_client/authserver_client.dart';
import 'package:http/http.dart' as http;
import 'package:http/testing.dart';
import 'package:test/test.dart';

void main() {
  late HttpServer server;
  late List<String> handshakes;
  late List<Map<String, dynamic>> frames;
  late List<WebSocket> sockets;
  late AuthService auth;
  late WebSocketService service;

  /// Seconds that the next `authenticated` names.
  late int lifetime;
  late Set<String> refused;

  Future<void> serve(HttpRequest request) async {
    final token = request.headers.value('authorization') ?? '';
    handshakes.add(token);
    if (refused.contains(token)) {
      request.response.statusCode = 401;
      await request.response.close();
      return;
    }
    final socket = await WebSocketTransformer.upgrade(request);
    sockets.add(socket);
    void authenticated() => socket.add(jsonEncode({'type': 'authenticated', 'expires_in': lifetime}));
    authenticated();
    socket.listen((frame) {
      final message = jsonDecode(frame as String) as Map<String, dynamic>;
      frames.add(message);
      if (message['type'] == 'authenticate') {
        authenticated();
      } else {
        socket.add(jsonEncode({'type': 'message', 'message': message}));
      }
    });
  }

  Future<void> until(bool Function() condition) async {
    final patience = Stopwatch()..start();
    while (!condition()) {
      expect(patience.elapsed, lessThan(const Duration(seconds: 20)));
      await Future<void>.delayed(const Duration(milliseconds: 10));
    }
  }

  Future<void> untilOpen(int count) => until(() => sockets.length == count && service.state == SocketState.open);

  setUp(() async {
    handshakes = [];
    frames = [];
    sockets = [];
    refused = {};
    lifetime = 900;
    server = await HttpServer.bind('localhost', 0);
    server.listen(serve);
    var count = 0;
    auth = AuthService(
      store: MemoryTokenStore(),
      baseUrl: 'http://localhost:${server.port}',
      client: MockClient((request) async {
        count++;
        return http.Response('{"access_token": "access-$count", "refresh_token": "refresh-$count", "expires_in": 900}', 200);
      }),
    );
    await auth.login('user@example.com', 'password123');
    service = WebSocketService(auth, wait: (_) => Future<void>.delayed(const Duration(milliseconds: 1)));
  });

  tearDown(() async {
    service.dispose();
    auth.dispose();
    await server.close(force: true);
  });

  test('the handshake carries the token, and messages come back', () async {
    service.connect('session 1');
    await untilOpen(1);
    final answer = service.messages.first;

    service.sendMessage({'text': 'hello'});

    expect(await answer, {
      'type': 'message',
      'message': {'text': 'hello'},
    });
    expect(handshakes, ['Bearer access-1']);
  });

  test('a newer token is sent over the same connection before the old one ends', () async {
    lifetime = 2;
    service.connect('session-1');
    await untilOpen(1);

    lifetime = 900;
    await until(() => frames.isNotEmpty);

    expect(frames.single, {'type': 'authenticate', 'access_token': 'access-2'});
    expect(sockets, hasLength(1));
  });

  test('a connection that the server ends with 4401 comes back with a newer token', () async {
    service.connect('session-1');
    await untilOpen(1);

    await sockets.single.close(4401, 'token expired');
    await untilOpen(2);

    expect(handshakes, ['Bearer access-1', 'Bearer access-2']);
  });

  test('a refused handshake is repeated with a newer token', () async {
    refused.add('Bearer access-1');

    service.connect('session-1');
    await untilOpen(1);

    expect(handshakes, ['Bearer access-1', 'Bearer access-2']);
  });

  test('after 4403 it stays closed', () async {
    service.connect('session-1');
    await untilOpen(1);
    final failed = expectLater(service.messages, emitsError(isA<WebSocketForbidden>()));

    await sockets.single.close(4403, 'another user');
    await failed;

    expect(service.state, SocketState.closed);
    expect(handshakes, hasLength(1));
  });

  test('signing out closes it', () async {
    service.connect('session-1');
    await untilOpen(1);

    await auth.logout();
    await sockets.single.done;

    expect(service.state, SocketState.closed);
    expect(() => service.sendMessage({}), throwsStateError);
  });
}
