/// A WebSocket that outlives its access token, and comes back after a failure.
library;

import 'dart:async';
import 'dart:convert';
import 'dart:math';

import 'package:web_socket_channel/io.dart';
import 'package:web_socket_channel/web_socket_channel.dart';

import 'auth_service.dart';
import 'exceptions.dart';
import 'requests.dart';
import 'tokens.dart';

/// [waiting]: the connection was lost, and is opened again after a while.
enum SocketState { closed, connecting, open, waiting }

/// One connection at a time, to one session of the API. It closes when the user signs out.
class WebSocketService {
  WebSocketService(this.authService, {Future<void> Function(Duration)? wait}) : _wait = wait ?? Future<void>.delayed {
    _signedIn = authService.authStateStream.listen((isAuthenticated) {
      if (!isAuthenticated) {
        disconnect();
      }
    });
  }

  /// Codes by which the server closes: the token has ended or was refused; it is another user's.
  static const _unauthorized = 4401;
  static const _forbidden = 4403;

  static const _longestPause = 60;
  static const _pingInterval = Duration(seconds: 20);

  /// A connection that lasted so long was a good one, and the next pause is short again.
  static const _lasting = Duration(seconds: 10);

  final AuthService authService;
  final Future<void> Function(Duration) _wait;
  final _random = Random();
  final _sinceOpen = Stopwatch()..start();
  final _messages = StreamController<Map<String, dynamic>>.broadcast();
  final _states = StreamController<SocketState>.broadcast();
  late final StreamSubscription<bool> _signedIn;

  /// Rises with each [connect] and [disconnect]: what belongs to an older one is over.
  int _run = 0;
  SocketState _state = SocketState.closed;
  WebSocketChannel? _channel;
  String? _token;
  Timer? _renewal;

  SocketState get state => _state;
  Stream<SocketState> get stateStream => _states.stream;

  /// What the server sends, without the messages about tokens. Errors are [AuthException]s, after which it stays closed.
  Stream<Map<String, dynamic>> get messages => _messages.stream;

  /// Opens the connection, and keeps it open until [disconnect]. What becomes of it is seen in [stateStream].
  void connect(String sessionId) {
    disconnect();
    unawaited(_keepOpen(sessionId, _run));
  }

  /// Throws a [StateError] while the connection is not open.
  void sendMessage(Map<String, dynamic> message) {
    final channel = _channel;
    if (channel == null || _state != SocketState.open) {
      throw StateError('the WebSocket is not open: wait for SocketState.open');
    }
    channel.sink.add(jsonEncode(message));
  }

  void disconnect() {
    _run++;
    _drop();
    _become(SocketState.closed);
  }

  void dispose() {
    disconnect();
    _signedIn.cancel();
    _messages.close();
    _states.close();
  }

  /// Opens it again and again, with longer and longer pauses while it fails.
  Future<void> _keepOpen(String sessionId, int run) async {
    var failures = 0;
    var mayRenew = true;
    while (run == _run) {
      _become(SocketState.connecting);
      var isRefused = false;
      try {
        final code = await _serve(sessionId, run);
        isRefused = code == _unauthorized;
        if (run == _run && code == _forbidden) {
          _fail(const WebSocketForbidden('the token is of another user than the connection'));
        }
      } on NotSignedIn catch (error) {
        if (run == _run) {
          _fail(error);
        }
      } on AuthException {
        // The authorization server is away; the next attempt asks it again.
      } on Exception {
        // The handshake failed, or the line broke. Not every platform says whether the token was refused.
        isRefused = _state == SocketState.connecting;
      }
      if (run != _run) {
        return;
      }
      if (_state == SocketState.open && _sinceOpen.elapsed > _lasting) {
        failures = 0;
        mayRenew = true;
      }
      _drop();
      _become(SocketState.waiting);
      await _wait(_pause(failures++));
      // Once, until a connection has lasted: a server that refuses every token is not mended by more of them.
      if (isRefused && mayRenew && run == _run) {
        mayRenew = !await _hasRenewed();
      }
    }
  }

  /// One connection, from its handshake to its end. Gives the code with which it was closed.
  Future<int?> _serve(String sessionId, int run) async {
    final token = await authService.getValidAccessToken() ?? (throw const NotSignedIn());
    if (run != _run) {
      return null;
    }
    final channel = _open(sessionId, token);
    _channel = channel;
    _token = token;
    await channel.ready;
    await for (final Object? frame in channel.stream) {
      if (run != _run) {
        break;
      }
      _receive(frame);
    }
    return channel.closeCode;
  }

  WebSocketChannel _open(String sessionId, String token) {
    final base = authService.baseUrl;
    final url = openWebSocket.url(base, {'session_id': sessionId});
    return IOWebSocketChannel.connect(
      url.replace(scheme: base.scheme == 'https' ? 'wss' : 'ws'),
      headers: filled(openWebSocket.headers, {'access_token': token}),
      pingInterval: _pingInterval,
      connectTimeout: const Duration(seconds: 10),
    );
  }

  void _receive(Object? frame) {
    final Object? message = frame is String ? jsonDecode(frame) : null;
    if (message case {'type': 'authenticated', 'expires_in': final int seconds}) {
      if (_state != SocketState.open) {
        _sinceOpen.reset();
        _become(SocketState.open);
      }
      _renewIn(renewalDelay(seconds));
    } else if (message is Map<String, dynamic>) {
      _messages.add(message);
    }
  }

  void _renewIn(Duration delay) {
    _renewal?.cancel();
    _renewal = Timer(delay, _renew);
  }

  /// Sends a newer token over the open connection, which then lives as long as that one.
  Future<void> _renew() async {
    final channel = _channel;
    final old = _token;
    if (channel == null || old == null) {
      return;
    }
    try {
      final token = await authService.renewAccessToken(insteadOf: old);
      if (token != null && identical(channel, _channel)) {
        _token = token;
        channel.sink.add(jsonEncode(filled(authenticate, {'access_token': token})));
      }
    } on AuthException {
      // The old one is good for a while yet. When it ends, the server closes with 4401.
      if (identical(channel, _channel)) {
        _renewIn(const Duration(seconds: 5));
      }
    }
  }

  Future<bool> _hasRenewed() async {
    final old = _token;
    try {
      return old != null && await authService.renewAccessToken(insteadOf: old) != null;
    } on AuthException {
      return false;
    }
  }

  /// Seconds: 1, 2, 4 … 60, cut at random, so that not all apps come back at the same moment.
  Duration _pause(int failures) {
    final seconds = min(_longestPause, 1 << min(failures, 6));
    return Duration(milliseconds: (seconds * 1000 * (0.5 + _random.nextDouble() / 2)).round());
  }

  void _fail(AuthException error) {
    _run++;
    _drop();
    _messages.addError(error);
    _become(SocketState.closed);
  }

  void _drop() {
    _renewal?.cancel();
    _renewal = null;
    _channel?.sink.close().ignore();
    _channel = null;
  }

  void _become(SocketState state) {
    if (state != _state && !_states.isClosed) {
      _state = state;
      _states.add(state);
    }
  }
}
