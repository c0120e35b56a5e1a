import 'package:authserver_client/authserver_client.dart';

/// The demo user of `make demo`, from sign-in to sign-out. `dart run example/main.dart`
Future<void> main() async {
  final authService = AuthService(
    store: MemoryTokenStore(),
    baseUrl: 'http://localhost:8080',
    clientId: 'codelab-flutter-app',
  );
  await authService.init();
  authService.authStateStream.listen((isAuthenticated) => print('signed in: $isAuthenticated'));

  try {
    await authService.login('user@example.com', 'password123');
  } on InvalidGrant {
    return print('The user name or the password is wrong.');
  } on AccountLocked catch (locked) {
    return print('Too many attempts. Try again after ${locked.lockedUntil?.toLocal()}.');
  } on RateLimited catch (limited) {
    return print('Too many requests. Try again in ${limited.retryAfter?.inSeconds} seconds.');
  } on MfaRequired {
    return print('This account has a second step: sign in by browser.');
  } on NetworkFailure {
    return print('No connection. Try again.');
  } on Refusal catch (refusal) {
    return print('It did not work. Tell our staff this number: ${refusal.errorId}');
  }

  final apiClient = ApiClient(authService);
  await apiClient.post('/api/v1/sessions', {});
  final response = await apiClient.get('/api/v1/sessions');
  print(response.body);

  final webSocket = WebSocketService(authService);
  webSocket.messages.listen((message) => print('received: $message'));
  webSocket.connect('my-session');
  await webSocket.stateStream.firstWhere((state) => state == SocketState.open);
  webSocket.sendMessage({'text': 'hello'});
  await webSocket.messages.first;
  webSocket.dispose();

  if (!await authService.logout()) {
    print('Signed out here. The server could not be told.');
  }
  apiClient.dispose();
  authService.dispose();
}
