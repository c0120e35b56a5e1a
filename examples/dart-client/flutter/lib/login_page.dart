import 'package:authserver_client/authserver_client.dart';
import 'package:flutter/material.dart';

/// Asks for user name and password. The app shows something else as soon as [AuthService.authStateStream] says so.
class LoginPage extends StatefulWidget {
  const LoginPage({super.key, required this.authService});

  final AuthService authService;

  @override
  State<LoginPage> createState() => _LoginPageState();
}

class _LoginPageState extends State<LoginPage> {
  final _username = TextEditingController();
  final _password = TextEditingController();
  bool _isBusy = false;
  String? _error;

  Future<void> _login() async {
    setState(() {
      _isBusy = true;
      _error = null;
    });
    String? error;
    try {
      await widget.authService.login(_username.text, _password.text);
    } on AuthException catch (refused) {
      error = messageFor(refused);
    }
    if (mounted) {
      setState(() {
        _isBusy = false;
        _error = error;
      });
    }
  }

  @override
  Widget build(BuildContext context) {
    return Scaffold(
      body: Padding(
        padding: const EdgeInsets.all(16),
        child: AutofillGroup(
          child: Column(
            mainAxisAlignment: MainAxisAlignment.center,
            children: [
              TextField(
                controller: _username,
                autofillHints: const [AutofillHints.username],
                decoration: const InputDecoration(labelText: 'User name or e-mail'),
              ),
              const SizedBox(height: 16),
              TextField(
                controller: _password,
                autofillHints: const [AutofillHints.password],
                decoration: InputDecoration(labelText: 'Password', errorText: _error),
                obscureText: true,
              ),
              const SizedBox(height: 24),
              ElevatedButton(
                onPressed: _isBusy ? null : _login,
                child: _isBusy ? const CircularProgressIndicator() : const Text('Sign in'),
              ),
            ],
          ),
        ),
      ),
    );
  }

  @override
  void dispose() {
    _username.dispose();
    _password.dispose();
    super.dispose();
  }
}

/// What to tell the user.
String messageFor(AuthException error) => switch (error) {
      InvalidGrant() => 'The user name or the password is wrong.',
      AccountLocked(:final lockedUntil?) => 'Too many attempts. Try again after ${_time(lockedUntil)}.',
      RateLimited(:final retryAfter?) => 'Too many requests. Try again in ${retryAfter.inSeconds} s.',
      MfaRequired() => 'This account has a second step: sign in by browser.',
      NetworkFailure() => 'No connection. Try again.',
      Refusal(:final errorId) => 'It did not work. Tell our staff this number: $errorId',
      _ => 'It did not work. Try again later.',
    };

String _time(DateTime instant) {
  final local = instant.toLocal();
  return '${local.hour}:${local.minute.toString().padLeft(2, '0')}';
}
