from jose import jwt, jwk
import httpx
from typing import Dict, Optional

class JWTValidator:
    def __init__(self, jwks_url: str = "http://localhost/.well-known/jwks.json"):
        self.jwks_url = jwks_url
        self.jwks_cache: Optional[Dict] = None
        self.cache_expiry: Optional[datetime] = None
    
    async def get_jwks(self) -> Dict:
        """Get JWKS with 1 hour caching"""
        if self.jwks_cache and self.cache_expiry and datetime.now() < self.cache_expiry:
            return self.jwks_cache
        
        async with httpx.AsyncClient() as client:
            response = await client.get(self.jwks_url)
            response.raise_for_status()
            
            self.jwks_cache = response.json()
            self.cache_expiry = datetime.now() + timedelta(hours=1)
            
            return self.jwks_cache
    
    async def validate_token(self, token: str) -> Dict:
        """Validate JWT token and return payload"""
        # Get JWKS
        jwks = await self.get_jwks()
        
        # Decode header to get kid
        unverified_header = jwt.get_unverified_header(token)
        kid = unverified_header.get("kid")
        
        # Find matching key
        key = next(
            (k for k in jwks["keys"] if k["kid"] == kid),
            None
        )
        if not key:
            raise ValueError(f"Key with kid '{kid}' not found in JWKS")
        
        # Validate token
        payload = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience="codelab-api",
            issuer="https://auth.codelab.local",
        )
        
        return payload

# Использование в FastAPI
from fastapi import Depends, HTTPException, Header

validator = JWTValidator()

async def get_current_user(authorization: str = Header(...)) -> Dict:
    """Dependency для получения текущего пользователя"""
    if not authorization.startswith("Bearer "):
        raise HTTPException(status_code=401, detail="Invalid authorization header")
    
    token = authorization[7:]  # Remove "Bearer " prefix
    
    try:
        payload = await validator.validate_token(token)
        return payload
    except Exception as e:
        raise HTTPException(status_code=401, detail=f"Invalid token: {e}")

# В endpoint
@app.get("/api/v1/protected")
async def protected_endpoint(user: Dict = Depends(get_current_user)):
    user_id = user["sub"]
    scopes = user["scope"].split()
    
    return {"message": f"Hello, user {user_id}", "scopes": scopes}
