import 'package:authserver_client/authserver_client.dart';
import 'package:flutter/material.dart';

import 'login_page.dart';
import 'secure_token_store.dart';

Future<void> main() async {
  WidgetsFlutterBinding.ensureInitialized();
  final authService = AuthService(
    store: const SecureTokenStore(),
    baseUrl: 'http://localhost:8080',
  );
  await authService.init();
  runApp(App(authService));
}

/// The sign-in page until somebody is signed in, and again when the session has ended.
class App extends StatelessWidget {
  const App(this.authService, {super.key});

  final AuthService authService;

  @override
  Widget build(BuildContext context) {
    return MaterialApp(
      home: StreamBuilder<bool>(
        stream: authService.authStateStream,
        initialData: authService.isAuthenticated,
        builder: (context, snapshot) {
          final isAuthenticated = snapshot.data ?? false;
          return isAuthenticated ? HomePage(authService) : LoginPage(authService: authService);
        },
      ),
    );
  }
}

/// Shows the sessions that the API answers with.
class HomePage extends StatefulWidget {
  const HomePage(this.authService, {super.key});

  final AuthService authService;

  @override
  State<HomePage> createState() => _HomePageState();
}

class _HomePageState extends State<HomePage> {
  late final _apiClient = ApiClient(widget.authService);
  late final Future<String> _sessions = _load();

  Future<String> _load() async {
    final response = await _apiClient.get('/api/v1/sessions');
    return response.body;
  }

  @override
  Widget build(BuildContext context) {
    return Scaffold(
      appBar: AppBar(
        actions: [
          IconButton(onPressed: widget.authService.logout, icon: const Icon(Icons.logout)),
        ],
      ),
      body: FutureBuilder<String>(
        future: _sessions,
        builder: (context, snapshot) => Text(snapshot.data ?? '${snapshot.error ?? ''}'),
      ),
    );
  }

  @override
  void dispose() {
    _apiClient.dispose();
    super.dispose();
  }
}
