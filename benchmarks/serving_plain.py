"""The handler that tutorials show: FastAPI, UploadFile, one image, PyTorch inside the request.

    python -m benchmarks.serving_plain NETWORK.pt --port 8001

NETWORK.pt is the pickled torch module that the model file of the benchmark was made from.
"""

from __future__ import annotations

import io
import sys

import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms

CLASSES = ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]

app = FastAPI()
model = torch.load(sys.argv[1], weights_only=False)
model.eval()
transform = transforms.Compose(
    [
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


@app.post("/predict")
async def predict(images: UploadFile) -> dict[str, object]:
    """One image in, its class and probability out."""
    image = Image.open(io.BytesIO(await images.read())).convert("RGB")
    with torch.no_grad():
        scores = torch.softmax(model(transform(image).unsqueeze(0)), 1)[0]
    best = int(scores.argmax())
    return {"class": CLASSES[best], "probability": float(scores[best])}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[3]), log_level="warning", access_log=False)
