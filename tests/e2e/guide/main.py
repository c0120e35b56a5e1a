import asyncio

async def main():
    auth = AuthClient()
    
    # Вход
    success = await auth.login("user@example.com", "password123")
    if not success:
        print("Login failed")
        return
    
    # Использование API
    token = await auth.get_valid_token()
    
    response = await auth.client.get(
        "http://localhost/api/v1/sessions",
        headers={"Authorization": f"Bearer {token}"}
    )
    
    print(response.json())
    
    await auth.close()

asyncio.run(main())
