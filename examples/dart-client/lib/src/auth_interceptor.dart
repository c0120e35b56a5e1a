/// An HTTP client that sends the access token along.
library;

import 'package:http/http.dart' as http;

import 'auth_service.dart';
import 'exceptions.dart';
import 'requests.dart';

/// Wraps a client: adds the token, and after a 401 renews it and sends the request once more.
/// The body of a request is held in memory for that.
class AuthInterceptor extends http.BaseClient {
  AuthInterceptor(this._client, this._authService);

  final http.Client _client;
  final AuthService _authService;

  /// Throws [NotSignedIn] when nobody is, or when the session has ended.
  @override
  Future<http.StreamedResponse> send(http.BaseRequest request) async {
    // SECURITY: the token is for our own server; whoever else got it could use it there.
    if (request.url.origin != _authService.baseUrl.origin) {
      return _client.send(request);
    }
    final token = await _authService.getValidAccessToken() ?? (throw const NotSignedIn());
    final body = await request.finalize().toBytes();
    final response = await _client.send(_copy(request, body, token));
    if (response.statusCode != 401) {
      return response;
    }
    // The connection is free again only when the answer was read.
    await response.stream.drain<void>();
    final renewed = await _authService.renewAccessToken(insteadOf: token) ?? (throw const NotSignedIn());
    return _client.send(_copy(request, body, renewed));
  }

  @override
  void close() => _client.close();

  /// A request can be sent once only, so each sending has its own.
  http.Request _copy(http.BaseRequest request, List<int> body, String token) => http.Request(request.method, request.url)
    ..headers.addAll(request.headers)
    ..headers.addAll(filled(bearer, {'access_token': token}))
    ..bodyBytes = body
    ..followRedirects = request.followRedirects
    ..maxRedirects = request.maxRedirects
    ..persistentConnection = request.persistentConnection;
}
