"""What uvicorn serves: AUTH_ISSUER=http://localhost:8003 uvicorn resource_server.app:app"""

import os

from authserver_verifier import Verifier

from resource_server.application import create_app

app = create_app(Verifier.from_environment(os.environ))
