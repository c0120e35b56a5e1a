/// Calls of an API, by the user who is signed in.
library;

import 'dart:convert';

import 'package:http/http.dart' as http;

import 'auth_interceptor.dart';
import 'auth_service.dart';

/// Sends and receives JSON. Paths begin with a slash.
class ApiClient {
  ApiClient(this.authService, {http.Client? client}) : _client = AuthInterceptor(client ?? http.Client(), authService);

  final AuthService authService;
  final http.Client _client;

  Future<http.Response> get(String path) => _client.get(authService.baseUrl.resolve(path));

  Future<http.Response> post(String path, Map<String, dynamic> body) => _client.post(
        authService.baseUrl.resolve(path),
        headers: {'Content-Type': 'application/json'},
        body: jsonEncode(body),
      );

  void dispose() => _client.close();
}
