import numpy as np; s = lambda z: 1/(1+np.exp(-z)); N = None
def lstm_step_forward(x,h_prev,c_prev,Wx,Wh,b,mask=None):
  H=h_prev.shape[1];z=x@Wx+h_prev@Wh+b;i,f,o,g=s(z[:,:H]),s(z[:,H:2*H]),s(z[:,2*H:3*H]),np.tanh(z[:,3*H:])
  c=f*c_prev+i*g;t=np.tanh(c);m=np.ones((len(x),1),'?') if mask is N else mask[:,N]
  return (np.where(m,o*t,h_prev),np.where(m,c,c_prev)),(x,h_prev,c_prev,Wx,Wh,i,f,o,g,t,m)
def lstm_step_backward(dout,cache):
  x,h,c,Wx,Wh,i,f,o,g,t,m=cache;dh,dc=(np.zeros_like(h) if d is N else d for d in dout)
  e=m*(dc+dh*o*(1-t*t)); \
  z=np.hstack((e*g*i*(1-i),e*c*f*(1-f),m*dh*t*o*(1-o),e*i*(1-g*g)))
  return z@Wx.T,z@Wh.T+dh*~m,e*f+dc*~m,x.T@z,h.T@z,z.sum(0)
def lstm_forward(x,h0,c0,Wx,Wh,b,mask=None):
  h,c,q,k=h0,c0,[],[]
  for t in range(len(x)):
    (h,c),r=lstm_step_forward(x[t],h,c,Wx,Wh,b,N if mask is N else mask[t]);q+=[h];k+=[r]
  return (np.array(q),h,c),k
def lstm_backward(dout,cache):
  p,h,c=dout;q=[];w=[0]*3
  for t in range(len(cache))[::-1]:
    if p is not N: h=p[t] if h is N else h+p[t]
    d,h,c,*r=lstm_step_backward((h,c),cache[t]);q=[d]+q;w=[a+b for a,b in zip(w,r)]
  return np.array(q),h,c,*w
